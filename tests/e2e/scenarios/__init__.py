"""The cases that stop, kill or reconfigure things, by subject.

Each scenario is a function of a Bench and starts without a daemon; it raises
AssertionError, or TimeoutError, if something is not as it should be, and
Skipped where it cannot run.
"""

from . import (administration, answers, blocking, clocks, configuration,
               descriptors, disk, memory, milter, outcomes, processes,
               report_faults, report_operation, reports, resolvers, rights,
               service, setup)

SUBJECTS = (answers, processes, resolvers, descriptors, memory, disk, clocks,
            administration, configuration, rights, service, milter, outcomes,
            blocking, reports, report_faults, report_operation, setup)
SCENARIOS = [scenario for subject in SUBJECTS
             for scenario in subject.SCENARIOS]
