"""Hide the process that imports this: the one that trials are forked from, and so each of them.

A pair's test runs beside others of its user, and may not see what these run on.
"""

from reimpl_helpers.base.limits import hide_this_process

hide_this_process()
