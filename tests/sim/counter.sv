// Design for the runner's tests: counts, with an inner signal that must not be visible.
module counter #(
    parameter int STEP = 1
) (
    input  logic       clk,
    input  logic       rst,
    output logic [7:0] count
);
    logic [7:0] hidden;
    assign hidden = count + 8'(STEP);
    always_ff @(posedge clk) count <= rst ? 8'd0 : hidden;
endmodule
