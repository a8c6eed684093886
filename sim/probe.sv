// One probe point: writes a 64-byte record to the file +probe=FILE in every cycle in which `valid` is high.
module sievit_probe #(
    parameter int UNIT = 0
) (
    input logic         clock,
    input logic         valid,
    input logic [31:0]  step,
    input logic [31:0]  column,
    input logic [31:0]  token,
    input logic [63:0]  cycle,
    input logic [255:0] data
);
    import "DPI-C" function void sievit_probe_open(input string file);
    import "DPI-C" function void sievit_probe_record(input int unit, input int step, input int column, input int token,
        input longint cycle, input bit [255:0] data);
    import "DPI-C" function void sievit_probe_close();

    bit enabled;

    initial begin
        string file;
        enabled = $value$plusargs("probe=%s", file) != 0;
        if (enabled) sievit_probe_open(file);
    end

    always @(posedge clock)
        if (enabled && valid) sievit_probe_record(UNIT, step, column, token, cycle, data);

    final if (enabled) sievit_probe_close();
endmodule
