"""What stands in for other systems: the text of a `sitecustomize.py`, which Python runs when it starts."""

# What Linux alone has is taken away from our own code; other packages are built for the system they run on.
MACOS = """
import builtins, io, multiprocessing, os, resource, select, signal, sys

LINUX_ONLY = {
    os: ("sched_", "SCHED_", "preadv", "pwritev", "posix_f", "copy_file_range", "memfd_create", "eventfd",
         "EFD_", "splice", "SPLICE_", "getrandom", "GRND_", "getxattr", "setxattr", "listxattr",
         "removexattr", "XATTR_", "MFD_", "pidfd_open", "PIDFD_", "unshare", "setns", "CLONE_", "pipe2",
         "getres", "setres", "fdatasync", "O_DIRECT", "O_TMPFILE", "O_PATH", "O_LARGEFILE", "O_NOATIME",
         "O_RSYNC", "POSIX_FADV", "P_PIDFD", "RWF_", "process_cpu_count"),
    select: ("epoll", "EPOLL"),
    signal: ("SIGPWR", "SIGSTKFLT", "SIGPOLL", "SIGRTM", "SIGCLD", "sigwaitinfo", "sigtimedwait"),
    resource: ("prlimit",),
}
for module, beginnings in LINUX_ONLY.items():
    for name in dir(module):
        if name.startswith(beginnings) and name != "O_DIRECTORY":
            delattr(module, name)


def without_proc(function):
    def call(path, *arguments, **keywords):
        ours = "site-packages" not in sys._getframe(1).f_code.co_filename
        if ours and isinstance(path, str) and path.startswith(("/proc/", "/sys/")):
            raise FileNotFoundError(2, "No such file or directory", path)
        return function(path, *arguments, **keywords)

    return call


builtins.open = io.open = without_proc(open)
for name in ("open", "stat", "lstat", "listdir", "scandir", "readlink"):
    setattr(os, name, without_proc(getattr(os, name)))
multiprocessing.set_start_method("spawn")
"""

WINDOWS = """
import os, sys

for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("fork", "getloadavg", "preadv", "pread", "sched_getaffinity", "getuid", "geteuid", "setsid"):
    delattr(os, name)
"""
