// AXI4 slave memory for simulation: all behaviour is in memory.cpp, called once a clock cycle, so that no beat costs
// a step of Python. Outputs are registered; a handshake seen at an edge is answered at a later one.
//
// Plusargs: +memory=FILE (contents from address 0; the file's length is the memory's size), +memory_size=BYTES (when
// larger than the file), +memory_out=FILE (contents at the end), +latency=CYCLES from address to first data,
// +latency_random=M (adds 0..M), +bandwidth=BYTES per cycle, reads and writes together, may be a fraction (0: no
// limit), +stall=PERCENT of cycles in which each channel pauses, +outstanding=N reads accepted ahead, +seed=N,
// +error_at=ADDRESS that answers SLVERR, +dead=1 (accepts requests, never answers).
module axi_memory #(
    parameter int DATA_WIDTH = 256,
    parameter int ID_WIDTH = 1
) (
    input  logic                    aclk,
    input  logic                    aresetn,
    input  logic [ID_WIDTH-1:0]     s_axi_awid,
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
    output logic [ID_WIDTH-1:0]     s_axi_bid,
    output logic [1:0]              s_axi_bresp,
    output logic                    s_axi_bvalid,
    input  logic                    s_axi_bready,
    input  logic [ID_WIDTH-1:0]     s_axi_arid,
    input  logic [63:0]             s_axi_araddr,
    input  logic [7:0]              s_axi_arlen,
    input  logic [2:0]              s_axi_arsize,
    input  logic [1:0]              s_axi_arburst,
    input  logic                    s_axi_arvalid,
    output logic                    s_axi_arready,
    output logic [ID_WIDTH-1:0]     s_axi_rid,
    output logic [DATA_WIDTH-1:0]   s_axi_rdata,
    output logic [1:0]              s_axi_rresp,
    output logic                    s_axi_rlast,
    output logic                    s_axi_rvalid,
    input  logic                    s_axi_rready
);
    // Bit fields of the structures in memory.cpp: request bits into the model, response bits out of it.
    import "DPI-C" function chandle sievit_memory_open(input int bus_bytes, input string file, input longint size,
        input string out_file, input int latency, input int latency_random, input real bandwidth, input int stall,
        input int outstanding, input int seed, input longint error_at, input int dead);
    import "DPI-C" function int sievit_memory_step(input chandle memory, input bit aresetn,
        input int awid, input longint awaddr, input int awlen, input int awsize, input int awburst, input bit awvalid,
        input bit [511:0] wdata, input longint wstrb, input bit wlast, input bit wvalid, input bit bready,
        input int arid, input longint araddr, input int arlen, input int arsize, input int arburst, input bit arvalid,
        input bit rready,
        output bit awready, output bit wready, output int bid, output int bresp, output bit bvalid,
        output bit arready, output int rid, output bit [511:0] rdata, output int rresp, output bit rlast,
        output bit rvalid);
    import "DPI-C" function void sievit_memory_close(input chandle memory);

    chandle memory;

    initial begin
        string file, out_file;
        longint size, error_at;
        int latency, latency_random, stall, outstanding, seed, dead;
        real bandwidth;
        if (!$value$plusargs("memory=%s", file)) file = "";
        if (!$value$plusargs("memory_out=%s", out_file)) out_file = "";
        if (!$value$plusargs("memory_size=%d", size)) size = 0;
        if (!$value$plusargs("latency=%d", latency)) latency = 1;
        if (!$value$plusargs("latency_random=%d", latency_random)) latency_random = 0;
        if (!$value$plusargs("bandwidth=%f", bandwidth)) bandwidth = 0.0;
        if (!$value$plusargs("stall=%d", stall)) stall = 0;
        if (!$value$plusargs("outstanding=%d", outstanding)) outstanding = 16;
        if (!$value$plusargs("seed=%d", seed)) seed = 1;
        if (!$value$plusargs("error_at=%d", error_at)) error_at = -1;
        if (!$value$plusargs("dead=%d", dead)) dead = 0;
        memory = sievit_memory_open(DATA_WIDTH / 8, file, size, out_file, latency, latency_random, bandwidth, stall,
                                    outstanding, seed, error_at, dead);
        if (memory == null) $fatal(1, "memory: cannot read %s", file);
    end

    always @(posedge aclk) begin : step
        bit awready, wready, bvalid, arready, rlast, rvalid;
        int bid, bresp, rid, rresp;
        bit [511:0] rdata;
        if (sievit_memory_step(memory, aresetn,
                int'(s_axi_awid), s_axi_awaddr, int'(s_axi_awlen), int'(s_axi_awsize), int'(s_axi_awburst),
                s_axi_awvalid, 512'(s_axi_wdata), 64'(s_axi_wstrb), s_axi_wlast, s_axi_wvalid, s_axi_bready,
                int'(s_axi_arid), s_axi_araddr, int'(s_axi_arlen), int'(s_axi_arsize), int'(s_axi_arburst),
                s_axi_arvalid, s_axi_rready,
                awready, wready, bid, bresp, bvalid, arready, rid, rdata, rresp, rlast, rvalid) != 0)
            $fatal(1, "memory: AXI protocol violation, see the line above");
        s_axi_awready <= awready;
        s_axi_wready  <= wready;
        s_axi_bid     <= bid[ID_WIDTH-1:0];
        s_axi_bresp   <= bresp[1:0];
        s_axi_bvalid  <= bvalid;
        s_axi_arready <= arready;
        s_axi_rid     <= rid[ID_WIDTH-1:0];
        s_axi_rdata   <= rdata[DATA_WIDTH-1:0];
        s_axi_rresp   <= rresp[1:0];
        s_axi_rlast   <= rlast;
        s_axi_rvalid  <= rvalid;
    end

    final sievit_memory_close(memory);
endmodule
