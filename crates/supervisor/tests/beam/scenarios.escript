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
%% Ends are told by trace messages, which are sent before anybody else hears of an end, and starts by the processes
%% themselves. Both have time stamps that are in order in the whole emulator.
-mode(compile).
-export([init/1, handle_info/2, handle_call/3, handle_cast/2, terminate/2, start_supervisor/2, start_worker/2]).

%% What the processes of a scenario are given.
-record(world, {player, nodes, starts}).
-record(play, {world, parent, step = 0,
               root = false,    % whether the root has started
               pids = #{},      % node -> its last process
               lives = #{},     % process that has not ended -> {node, number of its start}
               numbers = #{},   % node -> starts so far
               holding = [],    % processes
               answers = []}).

-define(AT_ONCE, 64).
%% Tries, of a millisecond each, after which a step does not come to its end.
-define(PATIENCE, 20000).

main([File]) ->
    {ok, Scenarios} = file:consult(File),
    [code:ensure_loaded(M) || M <- [supervisor, gen_server, gen, proc_lib, sys, lists, maps, logger, error_logger]],
    warm_up(),
    play_all(Scenarios, [], ?AT_ONCE).

%% What a first end needs once (modules, the logger's cache of levels), it waits for others for.
warm_up() ->
    Node = fun(Id, Parent, What) -> {node, Id, Parent, false, permanent, 10, false, [], What} end,
    Nodes = [Node(0, none, {supervisor, one_for_one, 1, never}), Node(1, 0, {worker, true, crashes})],
    Steps = [{ends, 1, boom}, {terminate_child, 0, 1}, {restart_child, 0, 1}, {ends, 1, panic}],
    _ = play({Nodes, [{Step, true} || Step <- Steps]}),
    ok.

%% Some at once, since some wait for time to pass; printed in their order.
play_all([], [], _) -> ok;
play_all([Scenario | Rest], Playing, Free) when Free > 0 ->
    play_all(Rest, Playing ++ [spawn_monitor(fun() -> exit({played, play(Scenario)}) end)], Free - 1);
play_all(Rest, [{_, Ref} | Playing], Free) ->
    receive
        {'DOWN', Ref, process, _, {played, Trace}} -> io:put_chars([Trace, "done\n"]);
        {'DOWN', Ref, process, _, Reason} -> io:format("the player ended: ~0p~ndone~n", [Reason])
    end,
    play_all(Rest, Playing, Free + 1).

%% The player.

play({Nodes, Steps}) ->
    put(trace, []),
    World = #world{player = self(), nodes = maps:from_list([{element(2, Node), Node} || Node <- Nodes]),
                   starts = ets:new(starts, [public])},
    Parent = spawn_opt(fun() -> process_flag(trap_exit, true), parent(World) end, [{priority, high}]),
    erlang:trace(Parent, true, [procs, set_on_spawn, strict_monotonic_timestamp]),
    Parent ! start,
    Started = settle(#play{world = World, parent = Parent}),
    Played = lists:foldl(fun(Step, Play) -> step(Step, Play) end, Started, Steps),
    Ended = release(step({{exit, 0, shutdown}, true}, release(Played))),
    case maps:size(Ended#play.lives) of
        0 -> ok;
        Left -> line("left ~w", [Left])
    end,
    [exit(Pid, kill) || Pid <- [Parent | maps:keys(Ended#play.lives)]],
    ets:delete(World#world.starts),
    lists:reverse(get(trace)).

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
take({stop, Id, Reason}, Play) -> ask(Id, Play, fun(Pid) -> stopped(Pid, Reason) end);
take({start_child, Id}, Play = #play{world = World}) ->
    {node, Id, Of, _, _, _, _, _, _} = node_of(Id, World),
    ask(Of, Play, fun(Pid) -> child_started(supervisor:start_child(Pid, spec(Id, World))) end);
take({terminate_child, Of, Id}, Play) -> ask(Of, Play, fun(Pid) -> done(supervisor:terminate_child(Pid, Id)) end);
take({restart_child, Of, Id}, Play) -> ask(Of, Play, fun(Pid) -> done(supervisor:restart_child(Pid, Id)) end);
take({delete_child, Of, Id}, Play) -> ask(Of, Play, fun(Pid) -> done(supervisor:delete_child(Pid, Id)) end);
take({get_childspec, Of, Id}, Play) ->
    ask(Of, Play, fun(Pid) ->
        case supervisor:get_childspec(Pid, Id) of
            {ok, #{restart := Restart, shutdown := Shutdown, significant := Significant, type := Type}} ->
                io_lib:format("~w ~w ~w ~w", [Restart, Shutdown, Significant, Type]);
            Other -> done(Other)
        end
    end);
take({count_children, Of}, Play) ->
    ask(Of, Play, fun(Pid) ->
        Counts = supervisor:count_children(Pid),
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

%% The answer to this step comes when it comes.
ask(Id, Play = #play{step = Step}, Ask) ->
    Player = self(),
    case process_of(Id, Play) of
        none -> answer("noproc", Play);
        Pid ->
            spawn_opt(fun() ->
                Answer = try Ask(Pid) catch exit:{Reason, {gen_server, call, _}} -> reason(Reason) end,
                Player ! {answer, Step, Answer}
            end, [{priority, high}]),
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
settle(Play) -> settle(Play, [], ?PATIENCE).

settle(Play0, Before, Patience) ->
    erlang:yield(),
    {Play, Events} = heard(Play0, Before),
    case Patience =:= 0 orelse is_over(Play, Events) of
        true ->
            line("step ~w", [Play#play.step]),
            [line("does not end", []) || Patience =:= 0],
            Next = lists:foldl(fun({_, Event}, P) -> event(Event, P) end, Play, lists:sort(Events)),
            [line("answer ~w ~s", [Step, Text]) || {Step, Text} <- lists:sort(Next#play.answers)],
            case Next#play.holding of
                [] -> states(Next);
                _ -> line("holds", [])
            end,
            Next#play{answers = []};
        false ->
            receive after 1 -> ok end,
            settle(Play, Events, Patience - 1)
    end.

heard(Play, Events) ->
    receive
        {event, At, Event} -> heard(Play, [{At, Event} | Events]);
        {trace_ts, Pid, exit, Reason, At} -> heard(Play, [{At, {ended, Pid, Reason}} | Events]);
        {holds, Pid} -> heard(Play#play{holding = [Pid | Play#play.holding]}, Events);
        {answer, 0, Text} -> heard(Play#play{root = Text =:= "ok", answers = [{0, Text} | Play#play.answers]}, Events);
        {answer, Step, Text} -> heard(Play#play{answers = [{Step, Text} | Play#play.answers]}, Events);
        _OtherTrace -> heard(Play, Events)
    after 0 -> {Play, Events}
    end.

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

states(#play{pids = Pids, world = World}) ->
    [state(Id, maps:get(Id, Pids))
     || Id <- lists:sort(maps:keys(Pids)), is_supervisor(Id, World), is_process_alive(maps:get(Id, Pids))].

state(Id, Pid) ->
    Children = [io_lib:format(" ~w=~s", [Child, child_state(State)])
                || {Child, State, _, _} <- supervisor:which_children(Pid)],
    line("children ~w~s", [Id, Children]).

child_state(Pid) when is_pid(Pid) -> "runs";
child_state(restarting) -> "restarting";
child_state(undefined) -> "stopped".

reason({failed_to_start_child, Id, Reason}) -> ["failed(", integer_to_list(Id), ",", reason(Reason), ")"];
reason({shutdown, Reason = {failed_to_start_child, _, _}}) -> reason(Reason);
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
terminate(_, _) -> ok.

hold(Player) ->
    Player ! {holds, self()},
    receive release -> ok end.
