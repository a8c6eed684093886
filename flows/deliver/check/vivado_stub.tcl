# Stands in for Vivado: executes a script with commands that do nothing but check what they are given, and make the
# files that the real ones would make. It knows the commands and options that the scripts of the deliverable use, as
# UG835 (Tcl command reference) and UG1118 (IP packaging) document them; everything else is an error.
#
# tclsh vivado_stub.tcl FACTS -mode batch -source SCRIPT [-tclargs ...]   (arguments of vivado from the second on)

namespace eval ipx {}
namespace eval stub {
    variable facts [dict create]
    variable objects        ;# kind by name of a project, run, fileset, clock, pblock ...
    array set objects {}
    variable property       ;# value by "name,PROPERTY"
    array set property {}
    variable project ""     ;# name, folder
    variable pins           ;# {direction type} by cell/pin
    array set pins {}
    variable intfs          ;# mode by cell/interface
    array set intfs {}
    variable cells          ;# IP by cell of the block design
    array set cells {}
    variable net            ;# driver by pin
    array set net {}
    variable peer           ;# connected interface by interface
    array set peer {}
    variable mapped {}      ;# list of {space segment offset range}
    variable validated 0
    variable synthesized 0
}

proc stub::fact {args} { return [dict get $stub::facts {*}$args] }
proc stub::fault {name} { return [expr {[lsearch -exact [fact faults] $name] >= 0}] }

# Split arguments into options and the rest; specs is a list of names, "-name" for flags, "-name=" for options with a value.
proc stub::parse {command specs arguments} {
    set options [dict create]
    set rest {}
    for {set i 0} {$i < [llength $arguments]} {incr i} {
        set word [lindex $arguments $i]
        if {[string match {-[a-zA-Z]*} $word]} {
            if {[lsearch -exact $specs $word] >= 0} {
                dict set options $word 1
            } elseif {[lsearch -exact $specs "$word="] >= 0} {
                incr i
                if {$i >= [llength $arguments]} { error "$command: option $word needs a value" }
                dict set options $word [lindex $arguments $i]
            } else {
                error "$command has no option $word"
            }
        } else {
            lappend rest $word
        }
    }
    return [list $options $rest]
}

# Define a vendor command. Its body sees the dictionary "options" and the list "rest".
proc stub::command {name specs least most body} {
    set head "lassign \[stub::parse $name [list $specs] \$args\] options rest
        if {\[llength \$rest\] < $least || \[llength \$rest\] > $most} {
            error \"$name takes $least to $most arguments, not \[llength \$rest\]\"
        }"
    proc ::$name args "$head\n$body"
}

proc stub::option {options name {default ""}} {
    return [expr {[dict exists $options $name] ? [dict get $options $name] : $default}]
}
proc stub::need {value what} { if {$value eq ""} { error "$what is missing" } }
proc stub::known {kind name} {
    variable objects
    if {![info exists objects($name)] || $objects($name) ne $kind} { error "no $kind $name" }
    return $name
}
proc stub::make {kind name} { set stub::objects($name) $kind; return $name }
proc stub::write {path text} {
    if {![file isdirectory [file dirname $path]]} { error "no folder for $path" }
    set channel [open $path w]
    puts -nonewline $channel $text
    close $channel
}
proc stub::existing {path} {
    if {![file isfile $path]} { error "no such file: $path" }
    return $path
}
proc stub::opened {} { if {$stub::project eq ""} { error "no project is open" } }

# ------------------------------------------------------------------------------------------------ projects and runs

stub::command create_project {-force -in_memory -part=} 0 2 {
    if {[stub::option $options -part] ne [stub::fact part]} {
        error "create_project: part [stub::option $options -part] is not the board's [stub::fact part]"
    }
    if {[dict exists $options -in_memory]} {
        set stub::project [list memory ""]
    } else {
        lassign $rest name folder
        stub::need $folder "create_project: folder"
        file mkdir $folder
        stub::write [file join $folder $name.xpr] "<Project/>\n"
        set stub::project [list $name $folder]
    }
    stub::make project project
    stub::make fileset sources_1
    stub::make run synth_1
    stub::make run impl_1
}
stub::command open_project {} 1 1 {
    set path [stub::existing [lindex $rest 0]]
    set stub::project [list [file rootname [file tail $path]] [file dirname $path]]
    stub::make project project
    stub::make run synth_1
    stub::make run impl_1
}
stub::command close_project {} 0 0 { stub::opened; set stub::project "" }
stub::command current_project {} 0 0 { stub::opened; return project }
stub::command current_fileset {} 0 0 { stub::opened; return sources_1 }
stub::command get_filesets {} 1 1 { return [stub::known fileset [lindex $rest 0]] }
stub::command update_compile_order {-fileset=} 0 0 { stub::known fileset [stub::option $options -fileset] }
stub::command update_ip_catalog {} 0 0 {
    if {![info exists stub::property(project,ip_repo_paths)]} { error "update_ip_catalog: no ip_repo_paths" }
}
stub::command add_files {-norecurse -fileset=} 1 1 {
    stub::opened
    foreach path [lindex $rest 0] {
        stub::existing $path
        set stub::objects($path) file
    }
    return [lindex $rest 0]
}
stub::command get_files {-quiet -of_objects=} 1 1 {
    set path [file join [lindex $stub::project 1] sources [lindex $rest 0]]
    return [stub::existing $path]
}
stub::command get_runs {} 1 1 { return [stub::known run [lindex $rest 0]] }
stub::command reset_run {} 1 1 { stub::known run [lindex $rest 0] }
stub::command wait_on_run {} 1 1 { stub::known run [lindex $rest 0] }
stub::command open_run {} 1 1 { stub::known run [lindex $rest 0]; set stub::synthesized 1 }
stub::command launch_runs {-jobs= -to_step=} 1 1 {
    set run [stub::known run [lindex $rest 0]]
    if {![string is integer -strict [stub::option $options -jobs 1]]} { error "launch_runs: -jobs is no number" }
    lassign $stub::project name folder
    set ended [expr {![stub::fault $run]}]
    set stub::property($run,PROGRESS) [expr {$ended ? "100%" : "37%"}]
    set complete [expr {[stub::fault timing] ? "Complete, Failed Timing!" : "Complete!"}]
    set stub::property($run,STATUS) [expr {$ended ? "$run $complete" : "$run ERROR"}]
    if {$run eq "impl_1"} {
        set step [stub::option $options -to_step]
        set suffix [dict get {write_bitstream bit write_device_image pdi} $step]
        if {$suffix ne [stub::fact bitstream]} { error "launch_runs: step $step makes no .[stub::fact bitstream]" }
        file mkdir [file join $folder $name.runs impl_1] [file join $folder $name.gen sources_1 bd system hw_handoff]
        if {$ended && ![stub::fault bitstream]} {
            stub::write [file join $folder $name.runs impl_1 system_wrapper.$suffix] "stub\n"
        }
        if {![stub::fault handoff]} {
            stub::write [file join $folder $name.gen sources_1 bd system hw_handoff system.hwh] "<EDKSYSTEM/>\n"
        }
    }
}
stub::command write_hw_platform {-fixed -include_bit -force -file=} 0 0 {
    stub::write [stub::option $options -file] "stub\n"
}

# --------------------------------------------------------------------------------------------- synthesis and reports

stub::command read_verilog {} 1 1 { stub::opened; stub::existing [lindex $rest 0] }
stub::command synth_design {-top= -part= -mode= -flatten_hierarchy=} 0 0 {
    stub::opened
    if {[stub::option $options -part] ne [stub::fact part]} { error "synth_design: wrong part" }
    if {[stub::option $options -top] ne [stub::fact top]} { error "synth_design: no module [stub::option $options -top]" }
    if {[stub::option $options -mode] ne "out_of_context"} { error "synth_design: mode" }
    if {[stub::option $options -flatten_hierarchy] ni {none rebuilt full}} { error "synth_design: -flatten_hierarchy" }
    set stub::synthesized 1
}
foreach step {opt_design place_design phys_opt_design route_design} {
    stub::command $step {} 0 0 { if {!$stub::synthesized} { error "nothing is synthesized" } }
}
stub::command write_checkpoint {-force} 1 1 { stub::write [lindex $rest 0] "stub\n" }
proc stub::report {name specs} {
    stub::command $name [concat $specs -file=] 0 0 [string map [list @ $name] {
        if {!$stub::synthesized} { error "@: no design is open" }
        set text "@ by the stand-in of Vivado\n"
        if {"@" eq "report_timing_summary"} {
            append text [expr {[stub::fault timing] ? "Timing constraints are not met.\n" : [stub::fault unconstrained] ?
                "There are no user specified timing constraints.\n" : "All user specified timing constraints are met.\n"}]
        }
        stub::write [stub::option $options -file] $text
    }]
}
stub::report report_utilization {-hierarchical}
stub::report report_timing_summary {-delay_type= -max_paths=}
stub::report report_design_analysis {-logic_level_distribution}
foreach name {report_control_sets report_clock_utilization report_route_status report_drc report_methodology report_power} {
    stub::report $name {}
}

# ------------------------------------------------------------------------------------------------------- constraints

# A constraints file may only use these commands, and no control structures.
stub::command read_xdc {-mode=} 1 1 {
    set path [stub::existing [lindex $rest 0]]
    set reader [interp create]
    $reader eval {
        foreach command [info commands] {
            if {$command ni {rename set list if foreach catch}} { catch { rename $command {} } }
        }
    }
    foreach command {create_clock get_ports create_pblock resize_pblock get_pblocks add_cells_to_pblock get_cells set_property} {
        $reader alias $command $command
    }
    $reader eval { rename foreach {}; rename if {}; rename catch {}; rename rename {} }
    set channel [open $path]
    set text [read $channel]
    close $channel
    $reader eval $text
    interp delete $reader
}
stub::command create_clock {-name= -period=} 1 1 {
    if {![string is double -strict [stub::option $options -period]]} { error "create_clock: -period" }
    if {abs([stub::option $options -period] - [stub::fact period]) > 0.0006} {
        error "create_clock: period [stub::option $options -period] is not the target's [stub::fact period]"
    }
    stub::make clock [stub::option $options -name]
}
stub::command get_ports {} 1 1 {
    if {![dict exists [stub::fact ports] [lindex $rest 0]]} { error "get_ports: no port [lindex $rest 0]" }
    return [lindex $rest 0]
}
stub::command create_pblock {} 1 1 { stub::make pblock [lindex $rest 0] }
stub::command get_pblocks {} 1 1 { return [stub::known pblock [lindex $rest 0]] }
stub::command resize_pblock {-add=} 1 1 {
    stub::known pblock [lindex $rest 0]
    if {![regexp {^SLR(\d+)$} [stub::option $options -add] -> number] || $number >= [stub::fact slrs]} {
        error "resize_pblock: no region [stub::option $options -add]"
    }
}
stub::command add_cells_to_pblock {} 2 2 {
    stub::known pblock [lindex $rest 0]
    if {[llength [lindex $rest 1]] == 0} { error "add_cells_to_pblock: no cells" }
    foreach cell [lindex $rest 1] {
        if {[info exists stub::property($cell,PBLOCK)]} { error "cell $cell is in two regions" }
        set stub::property($cell,PBLOCK) [lindex $rest 0]
    }
}
stub::command get_cells {-hierarchical -filter= -quiet} 0 1 {
    if {[dict exists $options -filter]} {
        if {![regexp {^NAME =~ (\S+)$} [dict get $options -filter] -> pattern]} { error "get_cells: -filter" }
        set found {}
        foreach cell [stub::fact cells] {
            set path "level0_i/ulp/[stub::fact top]_1/inst/$cell"
            if {[string match $pattern $path]} { lappend found $path }
        }
        return $found
    }
    foreach cell [lindex $rest 0] {
        if {$cell ni [stub::fact cells]} { error "get_cells: no cell $cell" }
    }
    return [lindex $rest 0]
}

# ---------------------------------------------------------------------------------------------------------- packaging

stub::command ipx::package_project {-root_dir= -vendor= -library= -taxonomy= -import_files -set_current=} 0 0 {
    stub::opened
    if {![info exists stub::property(sources_1,top)]} { error "ipx::package_project: no top module" }
    set folder [stub::option $options -root_dir]
    file mkdir $folder
    stub::write [file join $folder component.xml] "<component>[stub::option $options -vendor]:[stub::option $options -library]</component>\n"
    set stub::property(core,root) $folder
    set stub::property(core,id) "[stub::option $options -vendor]:[stub::option $options -library]"
    stub::make core core
    foreach bus [dict keys [stub::fact buses]] {
        if {[dict get [stub::fact buses] $bus kind] ne "interrupt"} { stub::make ipbus $bus }
    }
    stub::make ipspace m_axi_gmem.space
}
stub::command ipx::current_core {} 0 0 { return [stub::known core core] }
proc stub::of {kind options} { return [stub::known $kind [stub::option $options -of_objects]] }
stub::command ipx::get_bus_interfaces {-quiet -of_objects=} 1 1 {
    stub::of core $options
    set name [lindex $rest 0]
    if {[info exists stub::objects($name)] && $stub::objects($name) eq "ipbus"} { return $name }
    if {[dict exists $options -quiet]} { return {} }
    error "ipx::get_bus_interfaces: no interface $name"
}
stub::command ipx::infer_bus_interface {} 3 3 {
    lassign $rest port definition core
    stub::known core $core
    if {![dict exists [stub::fact ports] $port]} { error "ipx::infer_bus_interface: no port $port" }
    if {$definition ne "xilinx.com:signal:interrupt_rtl:1.0"} { error "ipx::infer_bus_interface: definition $definition" }
    stub::make ipbus $port
}
stub::command ipx::associate_bus_interfaces {-busif= -clock= -reset=} 1 1 {
    stub::known core [lindex $rest 0]
    foreach {name kind} {-clock clock -reset reset} {
        if {[dict exists $options $name] && [dict get [stub::fact buses] [dict get $options $name] kind] ne $kind} {
            error "ipx::associate_bus_interfaces: [dict get $options $name] is no $kind"
        }
    }
    stub::need [stub::option $options -clock] "ipx::associate_bus_interfaces: -clock"
    if {[dict exists $options -busif]} { set stub::property([stub::known ipbus [dict get $options -busif]],clock) [dict get $options -clock] }
    if {[dict exists $options -reset]} { set stub::property([dict get $options -reset],clock) [dict get $options -clock] }
}
stub::command ipx::get_bus_parameters {-quiet -of_objects=} 1 1 {
    stub::of ipbus $options
    return {}
}
stub::command ipx::add_bus_parameter {} 2 2 {
    lassign $rest name bus
    stub::known ipbus $bus
    set names {NUM_READ_OUTSTANDING NUM_WRITE_OUTSTANDING MAX_BURST_LENGTH SUPPORTS_NARROW_BURST SENSITIVITY}
    if {$name ni $names} { error "ipx::add_bus_parameter: unknown parameter $name" }
    return [stub::make ipparameter $bus.$name]
}
stub::command ipx::get_address_spaces {-of_objects=} 1 1 {
    stub::of core $options
    return [stub::known ipspace [lindex $rest 0].space]
}
stub::command ipx::remove_segment {-quiet} 2 2 { stub::known ipspace [lindex $rest 1] }
stub::command ipx::get_memory_maps {-quiet -of_objects=} 1 1 {
    stub::of core $options
    return [expr {[info exists stub::objects([lindex $rest 0].map)] ? "[lindex $rest 0].map" : ""}]
}
stub::command ipx::add_memory_map {} 2 2 {
    stub::known core [lindex $rest 1]
    return [stub::make ipmap [lindex $rest 0].map]
}
stub::command ipx::get_address_blocks {-quiet -of_objects=} 0 0 { stub::of ipmap $options; return {} }
stub::command ipx::add_address_block {} 2 2 { stub::known ipmap [lindex $rest 1]; return [stub::make ipblock [lindex $rest 0].block] }
stub::command ipx::add_register {} 2 2 {
    stub::known ipblock [lindex $rest 1]
    set name "register.[lindex $rest 0]"
    if {[info exists stub::objects($name)]} { error "register [lindex $rest 0] twice" }
    return [stub::make ipregister $name]
}
stub::command ipx::add_field {} 2 2 { return [stub::make ipfield "[stub::known ipregister [lindex $rest 1]].[lindex $rest 0]"] }
stub::command ipx::add_register_parameter {} 2 2 {
    return [stub::make ipregisterparameter "[stub::known ipregister [lindex $rest 1]].[lindex $rest 0]"]
}
stub::command ipx::get_register_parameters {-of_objects=} 1 1 {
    return [stub::known ipregisterparameter "[stub::of ipregister $options].[lindex $rest 0]"]
}
stub::command ipx::create_xgui_files {} 1 1 { stub::known core [lindex $rest 0] }
stub::command ipx::update_checksums {} 1 1 { stub::known core [lindex $rest 0] }
stub::command ipx::check_integrity {} 1 1 {
    stub::known core [lindex $rest 0]
    dict for {bus facts} [stub::fact buses] {
        if {![info exists stub::objects($bus)] || $stub::objects($bus) ne "ipbus"} { error "interface $bus is not packaged" }
        if {[dict get $facts kind] in {axi4 axi4lite reset} && ![info exists stub::property($bus,clock)]} {
            error "interface $bus has no clock"
        }
    }
    stub::check_registers
}
# Every register of the accelerator's map is described, at its address.
proc stub::check_registers {} {
    foreach {name offset} [fact registers] {
        if {![info exists stub::property(register.$name,address_offset)]} { error "register $name is not described" }
        if {$stub::property(register.$name,address_offset) != $offset} { error "register $name is at another address" }
    }
}
stub::command ipx::save_core {} 1 1 {
    stub::known core [lindex $rest 0]
    stub::write [file join $stub::property(core,root) component.xml] "<component>$stub::property(core,id):$stub::property(core,name)</component>\n"
}
stub::command list_property {} 1 1 { return {CLASS NAME VITIS_DRC} }
stub::command package_xo {-xo_path= -kernel_name= -ip_directory= -kernel_xml= -force} 0 0 {
    if {[stub::option $options -kernel_name] ne [stub::fact top]} { error "package_xo: no module [stub::option $options -kernel_name]" }
    foreach name {sdx_kernel sdx_kernel_type} {
        if {![info exists stub::property(core,$name)]} { error "package_xo: property $name is not set" }
    }
    stub::existing [stub::option $options -kernel_xml]
    stub::existing [file join [stub::option $options -ip_directory] component.xml]
    stub::write [stub::option $options -xo_path] "stub\n"
}

# ------------------------------------------------------------------------------------------------------- block design

# Pins and interfaces of the IPs, as far as their data sheets (PG201, PG082, PG247, PG164, PG352, PG313) name them:
# pins as {name direction type}, interfaces as {name mode}. They depend on the settings.
proc stub::setting {cell name default} {
    variable property
    return [expr {[info exists property($cell,CONFIG.$name)] ? $property($cell,CONFIG.$name) : $default}]
}
proc stub::shape_smartconnect {cell} {
    set interfaces {}
    for {set i 0} {$i < [setting $cell NUM_SI 1]} {incr i} { lappend interfaces [list [format S%02d_AXI $i] slave] }
    for {set i 0} {$i < [setting $cell NUM_MI 1]} {incr i} { lappend interfaces [list [format M%02d_AXI $i] master] }
    return [list {{aclk in clock} {aresetn in reset}} $interfaces]
}
proc stub::shape_proc_sys_reset {cell} {
    return [list {{slowest_sync_clk in clock} {ext_reset_in in resetsource} {aux_reset_in in optional} {mb_debug_sys_rst in optional}
        {dcm_locked in optional} {mb_reset out resethigh} {bus_struct_reset out resethigh} {peripheral_reset out resethigh}
        {interconnect_aresetn out reset} {peripheral_aresetn out reset}} {}]
}
proc stub::shape_zynq_ultra_ps_e {cell} {
    set pins {{pl_resetn0 out resetsource}}
    set interfaces {}
    if {[setting $cell PSU__FPGA_PL0_ENABLE 1]} { lappend pins {pl_clk0 out clock} }
    if {[setting $cell PSU__USE__IRQ0 1]} { lappend pins {pl_ps_irq0 in interrupt} }
    foreach {number name default} {0 HPM0_FPD 1 1 HPM1_FPD 1 2 HPM0_LPD 0} {
        if {[setting $cell PSU__USE__M_AXI_GP$number $default]} {
            lappend interfaces [list M_AXI_$name master]
            lappend pins [list maxi[string tolower $name]_aclk in clock]
        }
    }
    foreach {number name} {0 HPC0 1 HPC1 2 HP0 3 HP1 4 HP2 5 HP3} {
        if {[setting $cell PSU__USE__S_AXI_GP$number 0]} {
            lappend interfaces [list S_AXI_${name}_FPD slave]
            lappend pins [list saxi[string tolower $name]_fpd_aclk in clock]
        }
    }
    return [list $pins $interfaces]
}
proc stub::shape_processing_system7 {cell} {
    set pins {}
    set interfaces {}
    if {[setting $cell PCW_EN_CLK0_PORT 1]} { lappend pins {FCLK_CLK0 out clock} }
    if {[setting $cell PCW_EN_RST0_PORT 1]} { lappend pins {FCLK_RESET0_N out resetsource} }
    if {[setting $cell PCW_USE_FABRIC_INTERRUPT 0] && [setting $cell PCW_IRQ_F2P_INTR 0]} { lappend pins {IRQ_F2P in interrupt} }
    foreach {name default mode} {M_AXI_GP0 1 master M_AXI_GP1 0 master S_AXI_HP0 0 slave S_AXI_HP1 0 slave S_AXI_HP2 0 slave S_AXI_HP3 0 slave} {
        if {[setting $cell PCW_USE_$name $default]} {
            lappend interfaces [list $name $mode]
            lappend pins [list ${name}_ACLK in clock]
        }
    }
    if {![info exists stub::property($cell,external)]} { lappend interfaces {DDR master} {FIXED_IO master} }
    return [list $pins $interfaces]
}
proc stub::shape_versal_cips {cell} {
    set values [dict create PS_USE_M_AXI_FPD 0 PS_USE_PMCPL_CLK0 0 PS_NUM_FABRIC_RESETS 0 PS_IRQ_USAGE {}]
    set values [dict merge $values [setting $cell PS_PMC_CONFIG {}]]
    set pins {}
    set interfaces {}
    if {[dict get $values PS_USE_PMCPL_CLK0]} { lappend pins {pl0_ref_clk out clock} }
    if {[dict get $values PS_NUM_FABRIC_RESETS]} { lappend pins {pl0_resetn out resetsource} }
    if {[lsearch -exact [dict get $values PS_IRQ_USAGE] {CH0 1}] >= 0} { lappend pins {pl_ps_irq0 in interrupt} }
    if {[dict get $values PS_USE_M_AXI_FPD]} {
        lappend pins {m_axi_fpd_aclk in clock}
        lappend interfaces {M_AXI_FPD master}
    }
    return [list $pins $interfaces]
}
# The automation of CIPS has made and connected the first six ports of the network.
proc stub::shape_axi_noc {cell} {
    set pins {}
    set interfaces {}
    for {set i 6} {$i < [setting $cell NUM_SI 6]} {incr i} { lappend interfaces [list [format S%02d_AXI $i] slave] }
    for {set i 6} {$i < [setting $cell NUM_CLKS 6]} {incr i} { lappend pins [list aclk$i in clock] }
    return [list $pins $interfaces]
}
proc stub::shape_accelerator {cell} {
    set pins {}
    set interfaces {}
    dict for {name facts} [fact buses] {
        switch [dict get $facts kind] {
            clock { lappend pins [list $name in clock] }
            reset { lappend pins [list $name in reset] }
            interrupt { lappend pins [list $name out interrupt] }
            default { lappend interfaces [list $name [dict get $facts mode]] }
        }
    }
    return [list $pins $interfaces]
}
set stub::settings [dict create \
    smartconnect {NUM_SI NUM_MI NUM_CLKS} proc_sys_reset {} versal_cips {PS_PMC_CONFIG CLOCK_MODE PS_PL_CONNECTIVITY_MODE} axi_noc {NUM_SI NUM_CLKS NUM_MI} accelerator {} \
    zynq_ultra_ps_e {PSU__USE__M_AXI_GP[0-2] PSU__USE__S_AXI_GP[0-6] PSU__SAXIGP[0-6]__DATA_WIDTH PSU__MAXIGP[0-2]__DATA_WIDTH PSU__FPGA_PL0_ENABLE \
        PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ PSU__USE__IRQ0} \
    processing_system7 {PCW_USE_M_AXI_GP[01] PCW_USE_S_AXI_HP[0-3] PCW_S_AXI_HP[0-3]_DATA_WIDTH PCW_EN_CLK0_PORT PCW_EN_RST0_PORT \
        PCW_FPGA0_PERIPHERAL_FREQMHZ PCW_USE_FABRIC_INTERRUPT PCW_IRQ_F2P_INTR}]
set stub::pmc_settings {CLOCK_MODE PS_USE_M_AXI_FPD PS_M_AXI_FPD_DATA_WIDTH PS_USE_PMCPL_CLK0 PMC_CRP_PL0_REF_CTRL_FREQMHZ PS_NUM_FABRIC_RESETS PS_IRQ_USAGE}

# Pins and interfaces of a cell from its settings; connections must not hang on any that vanish.
proc stub::reshape {cell} {
    variable pins
    variable intfs
    foreach name [array names pins $cell/*] { unset pins($name) }
    foreach name [array names intfs $cell/*] { unset intfs($name) }
    lassign [shape_$stub::cells($cell) $cell] some others
    foreach pin $some { set pins($cell/[lindex $pin 0]) [lrange $pin 1 2] }
    foreach interface $others { set intfs($cell/[lindex $interface 0]) [lindex $interface 1] }
}
stub::command get_ipdefs {-quiet} 1 1 {
    set found {}
    foreach name {smartconnect proc_sys_reset zynq_ultra_ps_e processing_system7 versal_cips axi_noc} {
        foreach version {1.0 1.1} { lappend found xilinx.com:ip:$name:$version }
    }
    if {[stub::fault ip]} { set found {} }
    if {[info exists stub::property(project,ip_repo_paths)]} {
        foreach folder $stub::property(project,ip_repo_paths) {
            set channel [open [stub::existing [file join $folder component.xml]]]
            if {[regexp {<component>(.*)</component>} [read $channel] -> id]} { lappend found $id:1.0 }
            close $channel
        }
    }
    return [lsearch -all -inline -glob $found [lindex $rest 0]]
}
stub::command get_board_parts {-quiet} 1 1 {
    if {[stub::fault board]} { return {} }
    return [lsearch -all -inline -glob [list [stub::fact board_part]] [lindex $rest 0]]
}
stub::command create_bd_design {} 1 1 {
    stub::opened
    file mkdir [file join [lindex $stub::project 1] sources]
    stub::write [file join [lindex $stub::project 1] sources [lindex $rest 0].bd] "{}\n"
}
stub::command create_bd_cell {-type= -vlnv=} 1 1 {
    set name [lindex $rest 0]
    if {[info exists stub::cells($name)]} { error "create_bd_cell: cell $name twice" }
    set ip [stub::option $options -vlnv]
    if {[llength [get_ipdefs $ip]] != 1} { error "create_bd_cell: no IP $ip" }
    set kind [lindex [split $ip :] 2]
    set stub::cells($name) [expr {$kind eq [stub::fact top] ? "accelerator" : $kind}]
    stub::make cell $name
    stub::reshape $name
    return $name
}
stub::command get_bd_cells {-quiet} 1 1 { return [stub::known cell [lindex $rest 0]] }
stub::command get_bd_pins {-quiet} 1 1 {
    if {![info exists stub::pins([lindex $rest 0])]} { error "get_bd_pins: no pin [lindex $rest 0]" }
    return [lindex $rest 0]
}
stub::command get_bd_intf_pins {-quiet} 1 1 {
    if {![info exists stub::intfs([lindex $rest 0])]} { error "get_bd_intf_pins: no interface [lindex $rest 0]" }
    return [lindex $rest 0]
}
stub::command apply_bd_automation {-rule= -config=} 1 1 {
    set cell [stub::known cell [lindex $rest 0]]
    set known [dict create zynq_ultra_ps_e {apply_board_preset} processing_system7 {make_external apply_board_preset Master Slave} \
        versal_cips {board_preset boot_config configure_noc debug_config design_flow mc_type num_mc_ddr num_mc_lpddr pl_clocks pl_resets}]
    set rules [dict create zynq_ultra_ps_e zynq_ultra_ps_e processing_system7 processing_system7 versal_cips cips]
    set ip $stub::cells($cell)
    if {[stub::option $options -rule] ne "xilinx.com:bd_rule:[dict get $rules $ip]"} { error "apply_bd_automation: rule [stub::option $options -rule]" }
    foreach name [dict keys [stub::option $options -config]] {
        if {$name ni [dict get $known $ip]} { error "apply_bd_automation: $ip has no option $name" }
    }
    if {$ip eq "processing_system7"} { set stub::property($cell,external) 1 }
    if {$ip eq "versal_cips"} {
        set stub::cells(axi_noc_0) axi_noc
        stub::make cell axi_noc_0
        set stub::property(axi_noc_0,CONFIG.NUM_SI) 6
        set stub::property(axi_noc_0,CONFIG.NUM_CLKS) 6
        stub::reshape axi_noc_0
    }
    stub::reshape $cell
}
stub::command connect_bd_intf_net {} 2 2 {
    lassign $rest first second
    foreach end $rest {
        if {![info exists stub::intfs($end)]} { error "connect_bd_intf_net: no interface $end" }
        if {[info exists stub::peer($end)]} { error "connect_bd_intf_net: $end is connected already" }
    }
    if {$stub::intfs($first) eq $stub::intfs($second)} { error "connect_bd_intf_net: $first and $second are both $stub::intfs($first)" }
    set stub::peer($first) $second
    set stub::peer($second) $first
}
stub::command connect_bd_net {} 2 100 {
    set driver ""
    foreach pin $rest {
        if {![info exists stub::pins($pin)]} { error "connect_bd_net: no pin $pin" }
        if {[lindex $stub::pins($pin) 0] eq "out"} {
            if {$driver ne ""} { error "connect_bd_net: $pin and $driver drive the same net" }
            set driver $pin
        }
    }
    if {$driver eq ""} { error "connect_bd_net: nothing drives $rest" }
    foreach pin $rest {
        if {$pin eq $driver} { continue }
        if {[info exists stub::net($pin)]} { error "connect_bd_net: $pin is connected already" }
        set wanted [lindex $stub::pins($pin) 1]
        set given [lindex $stub::pins($driver) 1]
        if {$wanted ne "optional" && $wanted ne $given} { error "connect_bd_net: $pin is a $wanted, $driver a $given" }
        set stub::net($pin) $driver
    }
}

# Address spaces and segments, as the IPs call them.
proc stub::spaces {} {
    variable cells
    set found {}
    foreach cell [array names cells] {
        switch $cells($cell) {
            zynq_ultra_ps_e - processing_system7 { lappend found $cell/Data }
            versal_cips { lappend found $cell/M_AXI_FPD }
            accelerator { lappend found $cell/m_axi_gmem }
        }
    }
    return $found
}
proc stub::segments {} {
    variable cells
    variable intfs
    set found {}
    foreach cell [array names cells] {
        switch $cells($cell) {
            accelerator { lappend found $cell/s_axi_control/reg0 }
            axi_noc { lappend found $cell/DDR_LOW0 }
            zynq_ultra_ps_e {
                foreach {number name} {0 HPC0 1 HPC1 2 HP0 3 HP1 4 HP2 5 HP3} {
                    if {[info exists intfs($cell/S_AXI_${name}_FPD)]} {
                        lappend found $cell/SAXIGP$number/${name}_DDR_LOW $cell/SAXIGP$number/${name}_DDR_HIGH
                    }
                }
            }
            processing_system7 {
                foreach number {0 1 2 3} {
                    if {[info exists intfs($cell/S_AXI_HP$number)]} { lappend found $cell/S_AXI_HP$number/HP${number}_DDR_LOWOCM }
                }
            }
        }
    }
    return $found
}
stub::command get_bd_addr_spaces {} 1 1 {
    if {[lindex $rest 0] ni [stub::spaces]} { error "get_bd_addr_spaces: no space [lindex $rest 0]" }
    return [lindex $rest 0]
}
stub::command get_bd_addr_segs {-quiet -of_objects=} 0 1 {
    if {[dict exists $options -of_objects]} {
        set found {}
        foreach entry $stub::mapped {
            if {[lindex $entry 0] eq [dict get $options -of_objects]} { lappend found [lindex $entry 1] }
        }
        return $found
    }
    if {[lindex $rest 0] in [stub::segments]} { return [lindex $rest 0] }
    if {[dict exists $options -quiet]} { return {} }
    error "get_bd_addr_segs: no segment [lindex $rest 0]"
}
stub::command assign_bd_address {-offset= -range= -target_address_space=} 0 1 {
    set space [stub::option $options -target_address_space]
    set segments [lindex $rest 0]
    if {$space ne ""} { get_bd_addr_spaces $space }
    if {[llength $segments] == 0} {
        if {$space eq ""} { error "assign_bd_address: this script assigns by name" }
        set segments [lsearch -all -inline -not -glob [stub::segments] */s_axi_control/*]
    }
    foreach segment $segments {
        if {$segment ni [stub::segments]} { error "assign_bd_address: no segment $segment" }
        set target $space
        set registers [string match */s_axi_control/reg0 $segment]
        if {$target eq ""} { set target [lindex [lsearch -all -inline -not -glob [stub::spaces] */m_axi_gmem] 0] }
        if {$registers != ![string match */m_axi_gmem $target]} { error "assign_bd_address: $segment is not behind $target" }
        if {$registers && [stub::fact control_base] ne "" && [stub::option $options -offset] != [stub::fact control_base]} {
            error "assign_bd_address: registers at [stub::option $options -offset], the board says [stub::fact control_base]"
        }
        foreach entry $stub::mapped {
            if {[lindex $entry 1] eq $segment} { error "assign_bd_address: $segment is assigned already" }
        }
        lappend stub::mapped [list $target $segment]
    }
}

# The whole design: everything connected, every interface of the accelerator in the address map, one clock.
stub::command validate_bd_design {} 0 0 {
    foreach name [lsort [array names stub::intfs]] {
        if {![info exists stub::peer($name)]} { error "validate_bd_design: interface $name is not connected" }
    }
    foreach name [lsort [array names stub::pins]] {
        lassign $stub::pins($name) direction type
        if {$direction eq "in" && $type ne "optional" && ![info exists stub::net($name)]} { error "validate_bd_design: $name is not driven" }
    }
    set clocks {}
    foreach name [array names stub::net] {
        if {[lindex $stub::pins($name) 1] eq "clock"} { lappend clocks $stub::net($name) }
    }
    if {[llength [lsort -unique $clocks]] != 1} { error "validate_bd_design: several clocks without a crossing" }
    set accelerator [lindex [lsearch -all -inline [lmap {cell kind} [array get stub::cells] {expr {$kind eq "accelerator" ? $cell : ""}}] ?*] 0]
    if {$accelerator eq ""} { error "validate_bd_design: no accelerator" }
    if {$accelerator ne [stub::fact instance]} { error "validate_bd_design: the accelerator is called $accelerator" }
    set driven [lsearch -exact [lmap {pin driver} [array get stub::net] {set driver}] $accelerator/interrupt]
    if {$driven < 0} { error "validate_bd_design: $accelerator/interrupt is not connected" }
    foreach {what count} [list $accelerator/s_axi_control/reg0 [llength [lsearch -all -index 1 $stub::mapped $accelerator/s_axi_control/reg0]] \
            $accelerator/m_axi_gmem [llength [lsearch -all -index 0 $stub::mapped $accelerator/m_axi_gmem]]] {
        if {$count == 0} { error "validate_bd_design: $what is not in the address map" }
    }
    stub::check_paths $accelerator
    set stub::validated 1
}
# From the processor to the registers and from the accelerator to memory, over interconnects.
proc stub::check_paths {accelerator} {
    variable peer
    foreach {from wanted} [list $accelerator/m_axi_gmem slave $accelerator/s_axi_control master] {
        set other $peer($from)
        set cell [lindex [split $other /] 0]
        if {$stub::cells($cell) eq "smartconnect"} {
            set other $peer($cell/[expr {$wanted eq "slave" ? "M00_AXI" : "S00_AXI"}])
            set cell [lindex [split $other /] 0]
        }
        if {$stub::cells($cell) ni {zynq_ultra_ps_e processing_system7 versal_cips axi_noc}} { error "validate_bd_design: $from ends at $other" }
        if {$wanted eq "slave" && [fact ps_port] ne "" && $other ne "ps/[fact ps_port]"} {
            error "validate_bd_design: memory behind $other, the board says [fact ps_port]"
        }
    }
}
stub::command save_bd_design {} 0 0 { if {!$stub::validated} { error "save_bd_design: not validated" } }
stub::command generate_target {} 2 2 { stub::existing [lindex $rest 1] }
stub::command make_wrapper {-files= -top} 0 0 {
    set path [file join [file dirname [stub::existing [stub::option $options -files]]] system_wrapper.v]
    stub::write $path "module system_wrapper; endmodule\n"
    return $path
}

# --------------------------------------------------------------------------------------------------------- properties

proc stub::set_one {name value object} {
    variable objects
    variable property
    if {![info exists objects($object)]} {
        if {[info exists stub::intfs($object)] && $name in {CONFIG.CATEGORY CONFIG.CONNECTIONS}} { return }
        if {[info exists stub::pins($object)] && $name eq "CONFIG.ASSOCIATED_BUSIF"} {
            if {![info exists stub::intfs([lindex [split $object /] 0]/$value)]} { error "set_property: no interface $value" }
            return
        }
        if {$name eq "USER_SLR_ASSIGNMENT"} {
            if {![regexp {^SLR(\d+)$} $value -> number] || $number >= [fact slrs]} { error "set_property: no region $value" }
            if {[info exists property($object,$name)]} { error "cell $object is in two regions" }
            set property($object,$name) $value
            return
        }
        error "set_property: no object $object"
    }
    set allowed [dict create project {board_part ip_repo_paths} fileset {top} pblock {IS_SOFT} \
        core {name version core_revision display_name description ipi_drc sdx_kernel sdx_kernel_type vitis_drc} \
        ipbus {slave_memory_map_ref} ipparameter {value} ipblock {name range usage} ipregister {address_offset size access description} \
        ipfield {bit_offset bit_width access description} ipregisterparameter {value} cell {CONFIG.*}]
    if {[lsearch -glob [dict get $allowed $objects($object)] $name] < 0 && ![string match CONFIG.* $name]} { error "set_property: $objects($object) has no property $name" }
    switch "$objects($object) $name" {
        "project board_part" { if {$value ne [fact board_part]} { error "set_property: board_part $value is not the board's [fact board_part]" } }
        "fileset top" { if {$value ne [fact top] && ![string match *_wrapper $value]} { error "set_property: no module $value" } }
        "core name" { if {$value ne [fact top]} { error "set_property: core name $value" } }
        "ipregister access" - "ipfield access" { if {$value ni {read-only read-write write-only}} { error "set_property: access $value" } }
        "ipregisterparameter value" { if {![dict exists [fact buses] $value]} { error "set_property: no interface $value" } }
    }
    if {$objects($object) eq "cell"} { check_setting $object [string range $name 7 end] $value }
    set property($object,$name) $value
    if {$objects($object) eq "cell"} { reshape $object }
}
proc stub::check_setting {cell name value} {
    set known 0
    foreach pattern [dict get $stub::settings $stub::cells($cell)] {
        if {[string match $pattern $name]} { set known 1 }
    }
    if {!$known} { error "set_property: $stub::cells($cell) has no setting $name" }
    if {$name eq "PS_PMC_CONFIG"} {
        foreach key [dict keys $value] {
            if {$key ni $stub::pmc_settings} { error "set_property: PS_PMC_CONFIG has no $key" }
        }
    }
    if {[string match *DATA_WIDTH $name] && $value ni {32 64 128}} { error "set_property: $name is $value" }
    if {[string match *FREQMHZ $name] && abs($value - [fact clock_mhz]) > 0.001} { error "set_property: $name is not the target of [fact clock_mhz] MHz" }
}
stub::command set_property {-dict=} 1 3 {
    if {[dict exists $options -dict]} {
        foreach {name value} [dict get $options -dict] { stub::set_one $name $value [lindex $rest 0] }
    } else {
        if {[llength $rest] != 3} { error "set_property takes name, value and object" }
        stub::set_one [lindex $rest 0] [lindex $rest 1] [lindex $rest 2]
    }
}
stub::command get_property {} 2 2 {
    lassign $rest name object
    if {![info exists stub::objects($object)] && ![info exists stub::intfs($object)]} { error "get_property: no object $object" }
    if {![info exists stub::property($object,$name)]} { error "get_property: $object has no $name" }
    return $stub::property($object,$name)
}

proc unknown {args} { error "unknown command [lindex $args 0]" }

# --------------------------------------------------------------------------------------------------------------- main

proc stub::main {arguments} {
    set channel [open [lindex $arguments 0]]
    set stub::facts [read $channel]
    close $channel
    set vivado [lrange $arguments 1 end]
    set at [lsearch -exact $vivado -tclargs]
    set ::argv [expr {$at < 0 ? {} : [lrange $vivado $at+1 end]}]
    set ::argc [llength $::argv]
    lassign [parse vivado {-mode= -nojournal -log= -notrace -source=} [expr {$at < 0 ? $vivado : [lrange $vivado 0 $at-1]}]] options rest
    if {[llength $rest] || [option $options -mode] ne "batch"} { error "vivado: arguments $rest, mode [option $options -mode]" }
    if {[dict exists $options -log]} { write [dict get $options -log] "stub\n" }
    uplevel #0 [list source [option $options -source]]
}
if {[catch { stub::main $argv } stub::message]} {
    puts stderr "ERROR: $stub::message"
    exit 1
}
