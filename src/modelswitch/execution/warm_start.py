"""Run a script without waiting for Python to import torch: what rules call in local runs.

    python -I -S -E warm.py <name> <process id of Snakemake> <modules> <script> <arguments>

The first such client of a Snakemake starts a server that imports torch once, and the given modules
(names with commas between them, or nothing). For every client the server forks a child, which takes
over the client's arguments, standard streams and umask and then runs the script as Python itself
would. The client passes signals on to the child and leaves with its exit status. Where anything is
unlike what the server was started with, and where no server can be had, the client becomes the
script's own process: nothing but time depends on the server.

What follows when a process is killed (SIGKILL), or ends in another way before its time:

- the client: the server sees its connection close and kills the child.
- the child: the client leaves with 137, as a shell does.
- the server: the kernel kills its children, their clients fail, the next client starts a server.
- Snakemake: clients and children go on, as without a server; it leaves after the last of them.

The server imports nothing of this project, so that every job runs the code that is on the disk.
Its name is that of an abstract socket of Linux: one process alone can bind it, it is in no folder,
and it is gone with the last process that holds it.
"""

import atexit
import contextlib
import marshal
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time

_PATIENCE_SECONDS = 120.0
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What waits until there is a child to pass it on to.
_HELD = (*_PASSED_ON, signal.SIGTSTP)
# Signals that can be ignored from birth, and what Python begins with where they are not.
_AT_START = dict.fromkeys(_PASSED_ON, signal.SIG_DFL)
_AT_START |= {signal.SIGINT: signal.default_int_handler}  # type: ignore[dict-item]
# Variables that every shell sets anew; nothing that is imported looks at them.
_OF_SHELLS = ("_", "SHLVL")


def client(name: str, snakemake: str, modules: str, *command: str) -> None:
    """Have the server ``name`` run ``command``, a script and its arguments; leave as it does."""
    try:
        name = f"\0{name}-{os.environ.get('OMP_NUM_THREADS', '')}"
        server = _connected(name, snakemake, modules)
    except (OSError, AttributeError):
        # No such sockets here, or nobody answers.
        os.execv(sys.executable, [sys.executable, *command])
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    umask = os.umask(0o077)
    os.umask(umask)
    ignored = [int(s) for s in _AT_START if signal.getsignal(s) == signal.SIG_IGN]
    request = marshal.dumps((command, dict(os.environ), os.getcwd(), umask, ignored))  # noqa: PTH109
    children: list[int] = []
    with contextlib.suppress(OSError):
        socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(request)
        children = socket.recv_fds(server, 1, 1)[1]
    if not children:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        os.execv(sys.executable, [sys.executable, *command])

    def tell(signum: int, frame: object = None) -> None:
        # A process that has ended is told nothing, also when its number is in use again.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(children[0], signum)

    def pause(signum: int, frame: object) -> None:
        tell(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        tell(signal.SIGCONT)

    for signum in _PASSED_ON:
        signal.signal(signum, tell)
    # Ctrl-Z reaches the terminal's processes, of which the child is none.
    signal.signal(signal.SIGTSTP, pause)
    # A handler in Python runs after the call that its signal interrupts, and one that comes just
    # before a call interrupts nothing: every signal is a byte in this pipe, which ends the waiting.
    signals, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
    while server.fileno() not in select.select([server.fileno(), signals], [], [])[0]:
        os.read(signals, 64)
    status = b""
    with contextlib.suppress(OSError):
        status = server.recv(1)
    if not status:
        # The kernel is at killing the child: whoever comes next must not meet it.
        tell(signal.SIGKILL)
        select.select(children, [], [])
        print("error: the process that starts jobs was killed; run again", file=sys.stderr)
    sys.exit(status[0] if status else 1)


def _connected(name: str, *for_server: str) -> socket.socket:
    """A connection to a child of the server, which is started where there is none; or OSError."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as listener, contextlib.suppress(OSError):
            listener.bind(name)
            listener.listen(1024)
            # From here on clients can connect; they wait until it has imported all.
            listener.set_inheritable(True)
            number = str(listener.fileno())
            serve = [sys.executable, "-P", __file__, "--serve", number, *for_server]
            null = [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in (0, 1, 2)]
            os.posix_spawn(sys.executable, serve, os.environ, file_actions=null)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(name)
            break
        except ConnectionRefusedError:
            # It is between the first two lines above, in another client, or has just left.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.settimeout(_PATIENCE_SECONDS)
    if not _is_mine(connection) or not connection.recv(1):
        raise ConnectionError
    connection.settimeout(None)
    return connection


def _is_mine(connection: socket.socket) -> bool:
    """Whether a process of the same user is at the other end: names of sockets are no secret."""
    process_user_group = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(process_user_group[4:8], sys.byteorder) == os.geteuid()


def server(descriptor: int, snakemake: int, modules: str) -> None:
    """Fork a child for every client until ``snakemake`` has ended; returns in the children only."""
    # Not one of the terminal's processes: Ctrl-C is Snakemake's and the clients', who pass it on.
    os.setsid()
    for signum in _PASSED_ON:
        signal.signal(signum, signal.SIG_IGN)
    # Whoever reads a job's pipe to its end must not wait for the server.
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))
    listener = socket.socket(fileno=descriptor)
    listener.set_inheritable(False)
    watched = os.pidfd_open(snakemake)
    origin = (_without_shell(os.environ), os.getcwd(), _installed())  # noqa: PTH109
    _import(modules)
    this, poll = os.getpid(), select.poll()
    clients: dict[int, int] = {}
    children: dict[int, tuple[socket.socket, int]] = {}
    poll.register(listener, select.POLLIN)
    poll.register(watched, select.POLLIN)
    while listener.fileno() >= 0 or children:
        # One event at a time: the next may be about a descriptor that is closed by then.
        event = poll.poll()[0][0]
        if event == watched:
            poll.unregister(watched)
            poll.unregister(listener)
            listener.close()
        elif event == listener.fileno():
            connection, _ = listener.accept()
            process = os.fork()
            if process == 0:
                end_with(this)
                for other in (listener, *(pair[0] for pair in children.values())):
                    other.close()
                for descriptor in (watched, *children):
                    os.close(descriptor)
                return _become(connection, origin)
            child = os.pidfd_open(process)
            clients[connection.fileno()] = child
            children[child] = connection, process
            # For its end alone: what the client says is for the child.
            poll.register(connection, 0)
            poll.register(child, select.POLLIN)
        elif event in clients:
            poll.unregister(event)
            signal.pidfd_send_signal(clients.pop(event), signal.SIGKILL)
        else:
            connection, process = children.pop(event)
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            if clients.pop(connection.fileno(), None) is not None:
                poll.unregister(connection)
            poll.unregister(event)
            os.close(event)
            with connection, contextlib.suppress(OSError):
                connection.send(bytes([status if status >= 0 else 128 - status]))
    os._exit(0)


def _import(modules: str) -> None:
    """Import what most scripts do and takes long; no computing, which would start threads."""
    import ctypes  # noqa: F401
    import gc
    import importlib
    import threading

    import numpy  # noqa: F401
    import pydantic
    import safetensors.torch  # noqa: F401
    import torch  # noqa: F401

    # Its parts are imported when they are first used.
    pydantic.create_model("Model")
    for module in filter(None, modules.split(",")):
        # Whoever needs it says better what is wrong with it.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    # A fork has but one thread, and what the others held stays locked in it.
    if threading.active_count() > 1:
        os._exit(1)
    # What is there now is not looked at again, and so stays shared with the children.
    gc.collect()
    gc.freeze()


def _without_shell(environment) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key not in _OF_SHELLS}


def _installed() -> list[tuple[str, int]]:
    """Where modules come from; the dates change when packages are installed or removed."""
    return [(p, os.stat(p).st_mtime_ns) for p in sys.path if os.path.exists(p)]  # noqa: PTH110, PTH116


def _prctl(option: int, value: int | bytes) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_with(parent: int) -> None:
    """Be killed when ``parent`` ends."""
    set_parent_death_signal = 1
    _prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _become(connection: socket.socket, origin: tuple) -> None:
    """Be for a script what its own process would be, if ``origin`` is that process's as well."""
    import importlib

    if not _is_mine(connection):
        os._exit(1)
    connection.sendall(b".")
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as sent:
        request = marshal.loads(sent.read(int.from_bytes(size, "big")))
    command, environment, folder, umask, ignored = request
    if (_without_shell(environment), folder, _installed()) != origin:
        # The server sends a status without a process: the client helps itself.
        os._exit(1)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if sys.stdout.isatty():
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.umask(umask)
    for signum, handler in _AT_START.items():
        signal.signal(signum, signal.SIG_IGN if int(signum) in ignored else handler)
    for key in _OF_SHELLS:
        os.environ.pop(key, None)
    os.environ.update(environment)
    sys.argv = list(command)
    sys.path.insert(0, os.path.dirname(os.path.realpath(command[0])))  # noqa: PTH120
    importlib.invalidate_caches()
    # What ps and top show.
    set_name = 15
    _prctl(set_name, os.path.basename(command[0]).encode())  # noqa: PTH119
    this = os.pidfd_open(os.getpid())
    with connection:
        socket.send_fds(connection, [b"."], [this])
    os.close(this)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        import atexit
        import runpy
        import threading

        server(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
        # Out here, so that an error or an exit status ends the interpreter in its usual way.
        runpy.run_path(sys.argv[0], run_name="__main__")
        if threading.active_count() == 1:
            # The usual way takes torch apart, object by object, for half a second.
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    else:
        client(*sys.argv[1:])
