#!/usr/bin/env escript
%%! +S 1:1 +P 1000000 -kernel logger_level none
%% Plays scenarios on OTP's own supervisors, with `gen_server`s as workers. Reads the scenarios from the file that it
%% is given, as terms, and writes a trace of each; see scenario.rs and trace.rs.
%%
%% When is a step over? The emulator has one scheduler, those who play scenarios have priority normal, and all
%% processes of a scenario have priority high: while one of them can run, none of normal priority does. A signal that
%% was sent makes its receiver runnable, and an exiting process stays so until it has sent what it has to. So when a
%% player goes on, all of its processes wait; and when each waits in its loop with an empty mailbox, they wait for the
%% player. One that is anywhere else waits for time to pass, and so does the player; or a worker holds, who waits for
%% the player, and then nothing has a time to wait for (see random.rs).
%%
%% What does not come to its end is given up, and all of its processes are killed; its trace says so, and the others go on.
%% A player sees that for itself, by the deadline of a step. Where processes never wait no player runs: then it is `main`
%% who sees it, whose priority is above theirs, by the deadline of a scenario; all that are played
%% at that time are given up with it.
%%
%% Ends are told by trace messages, which are sent before anybody else hears of an end, and starts by the processes
%% themselves. Both have time stamps that are in order in the whole emulator.
-mode(compile).
-export([init/1, handle_info/2, handle_call/3, handle_cast/2, terminate/2, start_supervisor/2, start_worker/2]).

%% What the processes of a scenario are given.
-record(world, {player, nodes, starts}).
-record(play, {world, parent, limit, step = 0,
               root = false,    % whether the root has started
               pids = #{},      % node -> its last process
               lives = #{},     % process that has not ended -> {node, number of its start}
               numbers = #{},   % node -> starts so far
               holding = [],    % processes
               asked = [],      % requests without an answer: {request, step, what is said of the answer}
               answers = []}).

-define(AT_ONCE, 64).

%% How long a step may take and how long a scenario, in milliseconds.
main([File]) -> main([File, "20000", "60000"]);
main([File, Step, Scenario]) ->
    process_flag(priority, max),
    {ok, Scenarios} = file:consult(File),
    [code:ensure_loaded(M) || M <- [supervisor, gen_server, gen, proc_lib, sys, lists, maps, logger, error_logger]],
    put(others, processes()),
    put(limits, {list_to_integer(Step), list_to_integer(Scenario)}),
    warm_up(),
    play_all(Scenarios, [], ?AT_ONCE);
main(_) ->
    io:put_chars(standard_error, "scenarios.escript FILE [MILLISECONDS OF A STEP, OF A SCENARIO]\n"),
    halt(2).

%% What a first end needs once (modules, the logger's cache of levels), it waits for others for.
warm_up() ->
    Node = fun(Id, Parent, What) -> {node, Id, Parent, false, permanent, 10, false, [], What} end,
    Nodes = [Node(0, none, {supervisor, one_for_one, 1, never}), Node(1, 0, {worker, true, crashes})],
    Steps = [{ends, 1, boom}, {terminate_child, 0, 1}, {restart_child, 0, 1}, {ends, 1, panic}],
    Playing = start_to_play({Nodes, [{Step, true} || Step <- Steps]}),
    _ = played(Playing),
    ok.

%% Some at once, since some wait for time to pass; printed in their order.
play_all([], [], _) -> ok;
play_all([Scenario | Rest], Playing, Free) when Free > 0 ->
    play_all(Rest, Playing ++ [start_to_play(Scenario)], Free - 1);
play_all(Rest, [First | Playing], Free) ->
    io:put_chars([played(First), "done\n"]),
    play_all(Rest, Playing, Free + 1).

start_to_play(Scenario) ->
    {Step, Limit} = get(limits),
    {Player, Ref} = spawn_monitor(fun() -> exit({played, play(Scenario, Step)}) end),
    {Player, Ref, now_ms() + Limit}.

played({_, Ref, Deadline}) ->
    receive
        {'DOWN', Ref, process, _, {played, Trace}} -> Trace;
        {'DOWN', Ref, process, _, Reason} -> io_lib:format("the player ended: ~0p~n", [Reason])
    after max(0, Deadline - now_ms()) ->
        demonitor(Ref, [flush]),
        %% Nobody can be asked now whose process it is.
        [exit(Pid, kill) || Pid <- processes() -- get(others)],
        "the scenario does not end\n"
    end.

now_ms() -> erlang:monotonic_time(millisecond).

%% The player.

play(Scenario, Limit) ->
    put(trace, []),
    %% All of its processes have it as their group leader: so they are found.
    group_leader(self(), self()),
    try play_whole(Scenario, Limit)
    catch
        throw:does_not_end -> end_all()
    end,
    lists:reverse(get(trace)).

end_all() ->
    Mine = {group_leader, self()},
    case [Pid || Pid <- processes() -- [self()], process_info(Pid, group_leader) =:= Mine] of
        [] -> ok;
        Left -> [exit(Pid, kill) || Pid <- Left], end_all()
    end.

play_whole({Nodes, Steps}, Limit) ->
    World = #world{player = self(), nodes = maps:from_list([{element(2, Node), Node} || Node <- Nodes]),
                   starts = ets:new(starts, [public])},
    Parent = spawn_opt(fun() -> process_flag(trap_exit, true), parent(World) end, [{priority, high}]),
    erlang:trace(Parent, true, [procs, set_on_spawn, strict_monotonic_timestamp]),
    Parent ! start,
    Started = settle(#play{world = World, parent = Parent, limit = Limit}),
    Played = lists:foldl(fun(Step, Play) -> step(Step, Play) end, Started, Steps),
    Ended = release(step({{exit, 0, shutdown}, true}, release(Played))),
    case maps:size(Ended#play.lives) of
        0 -> ok;
        Left -> line("left ~w", [Left])
    end,
    [exit(Pid, kill) || Pid <- [Parent | maps:keys(Ended#play.lives)]],
    ets:delete(World#world.starts).

line(Format, Args) -> put(trace, [io_lib:format(Format ++ "~n", Args) | get(trace)]).

release(Play = #play{holding = []}) -> Play;
release(Play) -> release(step({release, true}, Play)).

step({Step, ForHeld}, Play0) ->
    Play = Play0#play{step = Play0#play.step + 1},
    if
        Play#play.holding =/= [], not ForHeld -> settle(answer("left out", Play));
        true -> settle(take(Step, Play))
    end.

take({ends, Id, Reason}, Play) -> tell(Id, Play, fun(Pid) -> Pid ! {ends, Reason} end);
take({exit, 0, Reason}, Play) -> tell(0, Play, fun(_) -> Play#play.parent ! {exit, Reason} end);
take({exit, Id, Reason}, Play) -> tell(Id, Play, fun(Pid) -> exit(Pid, Reason) end);
take({stop, Id, Reason}, Play) -> stop(Id, Reason, Play);
take({start_child, Id}, Play = #play{world = World}) ->
    {node, Id, Of, _, _, _, _, _, _} = node_of(Id, World),
    request(Of, {start_child, spec(Id, World)}, Play, fun child_started/1);
take({terminate_child, Of, Id}, Play) -> request(Of, {terminate_child, Id}, Play, fun done/1);
take({restart_child, Of, Id}, Play) -> request(Of, {restart_child, Id}, Play, fun done/1);
take({delete_child, Of, Id}, Play) -> request(Of, {delete_child, Id}, Play, fun done/1);
take({get_childspec, Of, Id}, Play) ->
    request(Of, {get_childspec, Id}, Play, fun
        ({ok, #{restart := Restart, shutdown := Shutdown, significant := Significant, type := Type}}) ->
            io_lib:format("~w ~w ~w ~w", [Restart, Shutdown, Significant, Type]);
        (Other) -> done(Other)
    end);
take({count_children, Of}, Play) ->
    request(Of, count_children, Play, fun(Counts) ->
        Keys = [specs, active, supervisors, workers],
        lists:join(" ", [integer_to_list(proplists:get_value(Key, Counts)) || Key <- Keys])
    end);
take(release, Play) ->
    [Pid ! release || Pid <- Play#play.holding],
    Play#play{holding = []}.

answer(Text, Play = #play{step = Step}) -> Play#play{answers = [{Step, Text} | Play#play.answers]}.

tell(Id, Play, Tell) ->
    case process_of(Id, Play) of
        none -> answer("noproc", Play);
        Pid -> Tell(Pid), answer("ok", Play)
    end.

%% What the functions of `supervisor` ask, without waiting: the player takes the answers, so that those of one supervisor come
%% to it in the order in which they were given.
request(Id, Request, Play = #play{step = Step, asked = Asked}, Words) ->
    case process_of(Id, Play) of
        none -> answer("noproc", Play);
        Pid -> Play#play{asked = [{gen_server:send_request(Pid, Request), Step, Words} | Asked]}
    end.

stop(Id, Reason, Play = #play{step = Step}) ->
    Player = self(),
    case process_of(Id, Play) of
        none -> answer("noproc", Play);
        Pid ->
            spawn_opt(fun() -> Player ! {answer, Step, stopped(Pid, Reason)} end, [{priority, high}]),
            Play
    end.

%% Who has started the root has its address when it has started.
process_of(0, #play{root = false}) -> none;
process_of(Id, #play{pids = Pids}) ->
    case Pids of
        #{Id := Pid} -> case is_process_alive(Pid) of true -> Pid; false -> none end;
        _ -> none
    end.

%% With which reason it has ended.
stopped(Pid, Reason) ->
    try gen_server:stop(Pid, Reason, infinity), reason(Reason)
    catch
        exit:{Other, {sys, terminate, _}} -> reason(Other);
        exit:Other -> reason(Other)
    end.

child_started({error, {already_started, _}}) -> "already_started";
child_started({error, {Reason, Child}}) when element(1, Child) =:= child -> reason(Reason);
child_started(Other) -> done(Other).

done(ok) -> "ok";
done({ok, undefined}) -> "ignore";
done({ok, _}) -> "ok";
done({error, Reason}) -> reason(Reason).

%% Waits until nothing goes on, and writes down what has come of the step.
settle(Play) -> settle(Play, [], now_ms() + Play#play.limit).

settle(Play0, Before, Deadline) ->
    erlang:yield(),
    {Play, Events} = heard(Play0, Before),
    case {is_over(Play, Events), now_ms() < Deadline} of
        {true, _} ->
            Next = written(Play, Events),
            case Next#play.holding of
                [] -> states(Next);
                _ -> line("holds", [])
            end,
            Next;
        {false, true} ->
            receive after 1 -> ok end,
            settle(Play, Events, Deadline);
        {false, false} ->
            written(Play, Events),
            line("does not end", []),
            throw(does_not_end)
    end.

%% Answers in the order in which they came.
written(Play, Events) ->
    line("step ~w", [Play#play.step]),
    Next = lists:foldl(fun({_, Event}, P) -> event(Event, P) end, Play, lists:sort(Events)),
    [line("answer ~w ~s", [Step, Text]) || {Step, Text} <- lists:reverse(Next#play.answers)],
    Next#play{answers = []}.

heard(Play, Events) ->
    receive
        {event, At, Event} -> heard(Play, [{At, Event} | Events]);
        {trace_ts, Pid, exit, Reason, At} -> heard(Play, [{At, {ended, Pid, Reason}} | Events]);
        {holds, Pid} -> heard(Play#play{holding = [Pid | Play#play.holding]}, Events);
        {answer, 0, Text} -> heard(Play#play{root = Text =:= "ok", answers = [{0, Text} | Play#play.answers]}, Events);
        {answer, Step, Text} -> heard(Play#play{answers = [{Step, Text} | Play#play.answers]}, Events);
        Trace when element(1, Trace) =:= trace_ts -> heard(Play, Events);
        Message -> heard(answered(Message, Play#play.asked, Play), Events)
    after 0 -> {Play, Events}
    end.

answered(Message, [One = {Request, Step, Words} | Rest], Play = #play{asked = Asked, answers = Answers}) ->
    Text = case gen_server:check_response(Message, Request) of
        no_reply -> none;
        {reply, Reply} -> Words(Reply);
        {error, {Reason, _}} -> reason(Reason)
    end,
    case Text of
        none -> answered(Message, Rest, Play);
        _ -> Play#play{asked = Asked -- [One], answers = [{Step, Text} | Answers]}
    end;
answered(_, [], Play) -> Play.

is_over(Play = #play{lives = Lives}, Events) ->
    Starts = [Pid || {_, {started, _, Pid}} <- Events],
    Ends = [Pid || {_, {ended, Pid, _}} <- Events],
    lists:all(fun(Pid) -> is_over_for(Pid, Play) end, (Starts ++ maps:keys(Lives)) -- Ends).

is_over_for(Pid, Play) ->
    %% One that has ended is to be heard of.
    case process_info(Pid, [current_function, message_queue_len]) of
        undefined -> false;
        %% In its loop, whose name and arity are not the same in each release. Who waits for a call is in `gen`.
        [{current_function, {gen_server, _, _}}, {message_queue_len, 0}] -> true;
        [{current_function, {erlang, hibernate, _}}, {message_queue_len, 0}] -> true;
        _ -> Play#play.holding =/= []
    end.

event({started, Id, Pid}, Play = #play{pids = Pids, lives = Lives, numbers = Numbers}) ->
    Number = maps:get(Id, Numbers, 0) + 1,
    line("start ~w ~w", [Id, Number]),
    Play#play{pids = Pids#{Id => Pid}, lives = Lives#{Pid => {Id, Number}}, numbers = Numbers#{Id => Number}};
event({ended, Pid, Reason}, Play = #play{lives = Lives}) ->
    case Lives of
        #{Pid := {Id, Number}} -> line("end ~w ~w ~s", [Id, Number, reason(Reason)]);
        _ -> ok
    end,
    Play#play{lives = maps:remove(Pid, Lives)}.

states(Play = #play{pids = Pids, world = World}) ->
    [state(Id, maps:get(Id, Pids), Play)
     || Id <- lists:sort(maps:keys(Pids)), is_supervisor(Id, World), is_process_alive(maps:get(Id, Pids))].

state(Id, Pid, Play) ->
    Said = try
        [io_lib:format(" ~w=~s/~w", [Child, child_state(Child, State, Play), Type])
         || {Child, State, Type, _} <- supervisor:which_children(Pid)]
    catch
        exit:{Reason, {gen_server, call, _}} -> [" error ", reason(Reason)]
    end,
    line("children ~w~s", [Id, Said]).

%% As which of its starts it runs.
child_state(Id, Pid, #play{lives = Lives}) when is_pid(Pid) ->
    case Lives of
        #{Pid := {Id, Number}} -> integer_to_list(Number);
        #{Pid := Other} -> io_lib:format("runs as ~0p", [Other]);
        _ -> "runs as nobody"
    end;
child_state(_, restarting, _) -> "restarting";
child_state(_, undefined, _) -> "stopped".

reason({shutdown, {failed_to_start_child, Id, Reason}}) ->
    ["failed(", integer_to_list(Id), ",", reason(Reason), ")"];
reason({panic, [_ | _]}) -> "panic";
reason(Reason) -> io_lib:format("~0p", [Reason]).

node_of(Id, #world{nodes = Nodes}) -> maps:get(Id, Nodes).

is_supervisor(Id, World) -> element(1, element(9, node_of(Id, World))) =:= supervisor.

%% The parent of the root.

parent(World = #world{player = Player}) ->
    receive
        start ->
            Started = case start_supervisor(0, World) of
                {ok, Pid} -> put(root, Pid), "ok";
                ignore -> "ignore";
                {error, Reason} -> reason(Reason)
            end,
            Player ! {answer, 0, Started},
            parent(World);
        {exit, Reason} ->
            exit(get(root), Reason),
            parent(World);
        _ -> parent(World)
    end.

%% The processes. What `supervisor:start_link` does, with a priority.

start_supervisor(Id, World) ->
    gen_server:start_link(supervisor, {self, ?MODULE, {Id, World}}, [{spawn_opt, [{priority, high}]}]).

start_worker(Id, World) ->
    gen_server:start_link(?MODULE, {Id, World}, [{spawn_opt, [{priority, high}]}]).

spec(Id, World) ->
    {node, Id, _, _, Restart, Shutdown, Significant, _, What} = node_of(Id, World),
    {Type, Start} = case What of
        {worker, _, _} -> {worker, start_worker};
        {supervisor, _, _, _} -> {supervisor, start_supervisor}
    end,
    #{id => Id, start => {?MODULE, Start, [Id, World]}, restart => Restart, shutdown => Shutdown,
      significant => Significant, type => Type}.

init({Id, World = #world{player = Player, starts = Counter}}) ->
    Player ! {event, at(), {started, Id, self()}},
    {node, Id, _, _, _, _, _, Starts, What} = node_of(Id, World),
    Number = ets:update_counter(Counter, Id, 1, {Id, 0}),
    Begin = if Number > length(Starts) -> well; true -> lists:nth(Number, Starts) end,
    begin_as(What, Begin, Id, World).

begin_as(_, ignore, _, _) -> ignore;
begin_as(_, {fails, panic}, _, _) -> error(panic);
begin_as({supervisor, _, _, _}, {fails, Reason}, _, _) -> exit(Reason);
begin_as(_, {fails, Reason}, _, _) -> {stop, Reason};
begin_as({worker, Traps, Stops}, Begin, _, #world{player = Player}) ->
    process_flag(trap_exit, Traps),
    Begin =:= holds andalso hold(Player),
    {ok, {Stops, Player}};
begin_as({supervisor, Strategy, Intensity, AutoShutdown}, well, Id, World) ->
    Of = fun({node, _, Parent, IsSpare, _, _, _, _, _}) -> Parent =:= Id andalso not IsSpare end,
    Children = [Child || Child <- lists:sort(maps:keys(World#world.nodes)), Of(node_of(Child, World))],
    {ok, {#{strategy => Strategy, intensity => Intensity, period => 3600, auto_shutdown => AutoShutdown},
          [spec(Child, World) || Child <- Children]}}.

at() -> {erlang:monotonic_time(nanosecond), erlang:unique_integer([monotonic])}.

handle_call(_, _, State) -> {noreply, State}.
handle_cast(_, State) -> {noreply, State}.

handle_info({ends, panic}, _) -> error(panic);
handle_info({ends, Reason}, State) -> {stop, Reason, State};
handle_info(_, State) -> {noreply, State}.

terminate(shutdown, {crashes, _}) -> error(panic);
terminate(shutdown, {hangs, _}) -> receive {never, comes} -> ok end;
terminate(shutdown, {holds, Player}) -> hold(Player);
%% No scenario of a seed has this: who never waits is what the deadline of a scenario is there for.
terminate(shutdown, {spins, Player}) -> terminate(shutdown, {spins, Player});
terminate(_, _) -> ok.

hold(Player) ->
    Player ! {holds, self()},
    receive release -> ok end.
