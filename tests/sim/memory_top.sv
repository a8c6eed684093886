// The memory under test, with a probe on every read beat.
module memory_top #(
    parameter int DATA_WIDTH = 256
) (
    input  logic                    aclk,
    input  logic                    aresetn,
    input  logic [1:0]              s_axi_awid,
    input  logic [63:0]             s_axi_awaddr,
    input  logic [7:0]              s_axi_awlen,
    input  logic [2:0]              s_axi_awsize,
    input  logic [1:0]              s_axi_awburst,
    input  logic                    s_axi_awvalid,
    output logic                    s_axi_awready,
    input  logic [DATA_WIDTH-1:0]   s_axi_wdata,
    input  logic [DATA_WIDTH/8-1:0] s_axi_wstrb,
    input  logic                    s_axi_wlast,
    input  logic                    s_axi_wvalid,
    output logic                    s_axi_wready,
    output logic [1:0]              s_axi_bid,
    output logic [1:0]              s_axi_bresp,
    output logic                    s_axi_bvalid,
    input  logic                    s_axi_bready,
    input  logic [1:0]              s_axi_arid,
    input  logic [63:0]             s_axi_araddr,
    input  logic [7:0]              s_axi_arlen,
    input  logic [2:0]              s_axi_arsize,
    input  logic [1:0]              s_axi_arburst,
    input  logic                    s_axi_arvalid,
    output logic                    s_axi_arready,
    output logic [1:0]              s_axi_rid,
    output logic [DATA_WIDTH-1:0]   s_axi_rdata,
    output logic [1:0]              s_axi_rresp,
    output logic                    s_axi_rlast,
    output logic                    s_axi_rvalid,
    input  logic                    s_axi_rready
);
    axi_memory #(.DATA_WIDTH(DATA_WIDTH), .ID_WIDTH(2)) memory (.*);

    logic [63:0] cycle;
    logic [31:0] beat;
    always_ff @(posedge aclk) begin
        cycle <= aresetn ? cycle + 64'd1 : 64'd0;
        beat  <= !aresetn ? 32'd0 : beat + 32'(s_axi_rvalid && s_axi_rready);
    end

    sievit_probe #(.UNIT(3)) probe (
        .clock(aclk), .valid(s_axi_rvalid && s_axi_rready), .step(32'(s_axi_rlast)), .column(32'(s_axi_rid)),
        .token(beat), .cycle, .data(256'(s_axi_rdata))
    );
endmodule
