#!/usr/bin/env escript
%%! +S 1:1 -kernel logger_level none
%% Carries out programs of links, monitors, exits, names and ends on OTP's own processes: `gen_server`s, since
%% an actor is one (the parent's exit signal ends it although it traps). Reads the programs from the file
%% that it is given and writes their traces, see erlang.rs.
%%
%% When is nothing in flight? The emulator has one scheduler, this process has priority normal, and those of the
%% program have priority high: while one of them can run, none of normal priority does. A signal that was sent
%% makes its receiver runnable, and an exiting process stays so until it has sent what it has to. So when
%% this process goes on after a `yield`, all of them wait, and nobody is on the way to any. (Held to: each of them
%% that has not ended must be waiting then. What they would wait for others for is done by `warm_up`.)
-mode(compile).
-export([init/1, handle_info/2, handle_call/3, handle_cast/2]).

-record(world, {step = 0, pids = #{}, refs = #{}, ended = #{}}).

main([File]) ->
    lists:foreach(fun warm_up/1, [{stop, boom}, {return, boom}, panic]),
    {ok, Programs} = file:consult(File),
    lists:foreach(fun(Program) ->
                      %% A program may go where its steps make no sense: that is seen as an end of process 0.
                      try program(Program) catch _:Why -> io:format("0 ended 0 ~0p~n", [Why]) end,
                      forget(),
                      io:put_chars("done\n")
                  end, Programs).

%% What a first end needs once (modules, the logger's cache of levels), it waits for others for.
warm_up(Op) ->
    {Pid, Ref} = start(self(), [monitor]),
    Pid ! {command, Op, #{}, #{}, self()},
    receive {'DOWN', Ref, process, Pid, _} -> ok end.

program({Roots, Steps}) ->
    World = lists:foldl(fun(Id, World) -> add(Id, start(self(), []), World) end,
                        #world{}, lists:seq(1, Roots)),
    After = lists:foldl(fun step/2, World, Steps),
    Left = maps:without(maps:keys(After#world.ended), After#world.pids),
    maps:foreach(fun(Id, Pid) -> relations(Id, Pid, After) end, Left),
    maps:foreach(fun(_, Pid) -> exit(Pid, kill) end, Left),
    erlang:yield().

%% Their ends are no part of the program.
forget() -> receive _ -> forget() after 0 -> ok end.

add(Id, Pid, World = #world{pids = Pids}) ->
    monitor(process, Pid),
    World#world{pids = Pids#{Id => Pid}}.

step({By, Op}, World = #world{pids = Pids, ended = Ended}) ->
    case {By, Ended} of
        {0, _} -> outside(Op, World);
        {_, #{By := _}} -> ok;
        _ -> maps:get(By, Pids) ! {command, Op, World#world.pids, World#world.refs, self()}
    end,
    erlang:yield(),
    Settled = settle(World),
    Left = maps:without(maps:keys(Settled#world.ended), Settled#world.pids),
    maps:foreach(fun(_, Pid) -> {status, waiting} = process_info(Pid, status) end, Left),
    Settled#world{step = Settled#world.step + 1}.

outside({exit, To, Reason}, #world{pids = Pids}) -> exit(maps:get(To, Pids), Reason);
outside({send, To, Number}, #world{pids = Pids}) -> maps:get(To, Pids) ! {number, 0, Number};
outside({send_name, Name, Number}, _) -> catch Name ! {number, 0, Number}.

%% Writes down what has come of a step.
settle(World) ->
    receive
        {spawned, Id, Pid} -> settle(add(Id, Pid, World));
        {monitored, Monitor, Ref} -> settle(World#world{refs = (World#world.refs)#{Monitor => Ref}});
        {told, Pid, What} ->
            io:format("~w told ~w ~s~n", [number(Pid, World), World#world.step, told(What, World)]),
            settle(World);
        {'DOWN', _, process, Pid, Reason} ->
            Id = number(Pid, World),
            io:format("~w ended ~w ~w~n", [Id, World#world.step, reason(Reason)]),
            settle(World#world{ended = (World#world.ended)#{Id => true}})
    after 0 -> World
    end.

told({'EXIT', From, Reason}, World) ->
    io_lib:format("exit ~w ~w", [number(From, World), reason(Reason)]);
told({'DOWN', Ref, process, Of, Reason}, World) ->
    [Monitor] = [M || {M, R} <- maps:to_list(World#world.refs), R =:= Ref],
    io_lib:format("down ~w ~w ~w", [Monitor, number(Of, World), reason(Reason)]);
told({number, From, Number}, _) -> io_lib:format("send ~w ~w", [From, Number]);
told({result, Pid}, World) when is_pid(Pid) -> io_lib:format("result ~w", [number(Pid, World)]);
told({result, undefined}, _) -> "result 0";
told({result, Result}, _) -> io_lib:format("result ~w", [Result]).

number({Name, _Node}, _) -> Name;
number(Pid, _) when Pid =:= self() -> 0;
number(Pid, #world{pids = Pids}) ->
    [Id] = [I || {I, P} <- maps:to_list(Pids), P =:= Pid],
    Id.

reason({panic, _Stack}) -> panic;
reason(Reason) -> Reason.

relations(Id, Pid, World) ->
    [{links, Links}, {monitors, Monitors}, {monitored_by, By}, Name] =
        process_info(Pid, [links, monitors, monitored_by, registered_name]),
    io:format("~w relations links=~s monitors=~s monitored_by=~s name=~s~n",
              [Id, list([number(P, World) || P <- Links]),
               list([number(P, World) || {process, P} <- Monitors]),
               list([number(P, World) || P <- By, P =/= self()]),
               case Name of {registered_name, []} -> "-"; {_, Is} -> atom_to_list(Is) end]).

list(Items) -> lists:join(",", lists:sort([io_lib:format("~w", [Item]) || Item <- Items])).

%% The processes.

start(Driver, Options) ->
    proc_lib:spawn_opt(fun() -> gen_server:enter_loop(?MODULE, [], Driver) end,
                       [{priority, high} | Options]).

init(Driver) -> {ok, Driver}.
handle_call(_, _, Driver) -> {noreply, Driver}.
handle_cast(_, Driver) -> {noreply, Driver}.

handle_info({command, hold, _, _, _}, Driver) -> hold(Driver);
handle_info({command, Op, Pids, Refs, _}, Driver) -> next(act(Op, Pids, Refs, Driver), Driver);
handle_info(What, Driver) -> tell(What, Driver), {noreply, Driver}.

next({stop, Reason}, Driver) -> {stop, Reason, Driver};
next(_, Driver) -> {noreply, Driver}.

%% In the middle of a handler: what comes waits in the mailbox.
hold(Driver) ->
    receive
        {command, go_on, _, _, _} -> {noreply, Driver};
        {command, Op, Pids, Refs, _} ->
            case act(Op, Pids, Refs, Driver) of
                {stop, Reason} -> {stop, Reason, Driver};
                _ -> hold(Driver)
            end
    end.

act({link, To}, Pids, _, _) ->
    %% A listed departure: the exit signal instead of the error.
    try link(maps:get(To, Pids)) catch error:noproc -> exit(self(), noproc) end;
act({unlink, To}, Pids, _, _) -> unlink(maps:get(To, Pids));
act({monitor, To, Monitor}, Pids, _, Driver) ->
    Driver ! {monitored, Monitor, monitor(process, maps:get(To, Pids))};
act({monitor_name, Name, Monitor}, _, _, Driver) ->
    Driver ! {monitored, Monitor, monitor(process, Name)};
act({demonitor, Monitor, Options}, _, Refs, Driver) ->
    %% That another process's reference is an error, or is not, is OTP's to choose.
    Result = try demonitor(maps:get(Monitor, Refs), Options) catch error:badarg -> false end,
    lists:member(info, Options) andalso result(Result, Driver);
act({trap, Traps}, _, _, _) -> process_flag(trap_exit, Traps);
act({exit, To, Reason}, Pids, _, _) -> exit(maps:get(To, Pids), Reason);
act({stop, Reason}, _, _, _) -> {stop, Reason};
act({return, Reason}, _, _, _) -> exit(Reason);
act(panic, _, _, _) -> error(panic);
act({spawn, Id, [Monitor]}, _, _, Driver) when is_integer(Monitor) ->
    {Pid, Ref} = start(Driver, [monitor]),
    Driver ! {monitored, Monitor, Ref},
    Driver ! {spawned, Id, Pid};
act({spawn, Id, Options}, _, _, Driver) -> Driver ! {spawned, Id, start(Driver, Options)};
act({register, Name, To}, Pids, _, Driver) ->
    result(try register(Name, maps:get(To, Pids)) catch error:badarg -> false end, Driver);
act({unregister, Name}, _, _, Driver) ->
    result(try unregister(Name) catch error:badarg -> false end, Driver);
act({whereis, Name}, _, _, Driver) -> result(whereis(Name), Driver);
act({send, To, Number}, Pids, _, Driver) -> send(maps:get(To, Pids), Number, Pids, Driver);
act({send_name, Name, Number}, Pids, _, Driver) ->
    try send(Name, Number, Pids, Driver) catch error:badarg -> result(noname, Driver) end;
act(_, _, _, _) -> ok.

send(To, Number, Pids, _) ->
    [Me] = [Id || {Id, Pid} <- maps:to_list(Pids), Pid =:= self()],
    To ! {number, Me, Number}.

result(Result, Driver) -> tell({result, Result}, Driver).

tell(What, Driver) -> Driver ! {told, self(), What}.
