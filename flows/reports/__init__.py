"""Reports of Vivado and Vitis as data.

The formats are those of UG906 (report_utilization, report_timing_summary) and UG1393 (v++ reports, xclbinutil), which
differ between releases and families: columns and rows are found by their headings, never by their place. What cannot
be understood is an error that names the file, not a zero.
"""

from flows.reports.collect import collect
from flows.reports.timing import Timing, parse_timing
from flows.reports.utilization import Unit, Utilization, parse_hierarchy, parse_utilization
from flows.reports.vitis import Clock, parse_estimate, parse_kernel_utilization, parse_xclbin_info

__all__ = ["Clock", "Timing", "Unit", "Utilization", "collect", "parse_estimate", "parse_hierarchy",
           "parse_kernel_utilization", "parse_timing", "parse_utilization", "parse_xclbin_info"]
