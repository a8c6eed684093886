"""Reports of Vivado and Vitis as data, and as records of the store of runs.

The formats are those of UG906 (report_utilization, report_timing_summary) and UG1393 (v++ reports, xclbinutil), which
differ between releases and families: columns and rows are found by their headings, never by their place. What cannot
be understood is an error that names the file, not a zero.
"""

from flows.vendor.collect import collect
from flows.vendor.designs import Amount, Design, Figure, designs_of, furthest
from flows.vendor.record import keep_vivado, vivado_record
from flows.vendor.tables import vivado_tables
from flows.vendor.timing import Timing, parse_timing
from flows.vendor.utilization import Unit, Utilization, parse_hierarchy, parse_utilization
from flows.vendor.vitis import Clock, parse_estimate, parse_kernel_utilization, parse_xclbin_info

__all__ = ["Amount", "Clock", "Design", "Figure", "Timing", "Unit", "Utilization", "collect", "designs_of", "furthest",
           "keep_vivado", "parse_estimate", "parse_hierarchy", "parse_kernel_utilization", "parse_timing",
           "parse_utilization", "parse_xclbin_info", "vivado_record", "vivado_tables"]
