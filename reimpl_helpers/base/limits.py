"""Limit what a process that runs a pair's code may take of the machine."""

LIMITS = {  # the right answers come nowhere near
    "RLIMIT_CPU": 3600,  # seconds
    "RLIMIT_DATA": 2**33,
    "RLIMIT_FSIZE": 2**26,
    "RLIMIT_NPROC": 8192,  # threads count, and those of the user's other programs too
    "RLIMIT_CORE": 0,
}


def limit_this_process() -> None:
    """Keep what a pair wrote from taking the whole machine, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, most in LIMITS.items():
        what = getattr(resource, name)
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
