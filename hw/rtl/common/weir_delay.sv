// Delay line.
// Function: data_o is data_i of CYCLES cycles before. Latency: CYCLES (0: a wire). Throughput: one word per cycle.
// Back-pressure: none.
`default_nettype none

module weir_delay #(
    parameter int unsigned CYCLES = 1,    // cycles
    parameter int unsigned DATA_BITS = 8  // bits of a word
) (
    input  wire logic                 clk_i,
    input  wire logic [DATA_BITS-1:0] data_i,
    output logic      [DATA_BITS-1:0] data_o
);

  logic [DATA_BITS-1:0] line[CYCLES+1];
  assign line[0] = data_i;
  assign data_o  = line[CYCLES];

  for (genvar n = 0; n < CYCLES; n++) begin : g_stage
    always_ff @(posedge clk_i) line[n+1] <= line[n];
  end

endmodule

`default_nettype wire
