// First-word fall-through queue.
// Function: in order, DEPTH words. Latency: one cycle. Throughput: one word per cycle. Back-pressure: none on the input:
// the writer holds credits (see users); an overflow is an assertion failure.
`default_nettype none

module weir_fifo #(
    parameter int unsigned DEPTH_BITS = 4,  // log2 of the number of words
    parameter int unsigned DATA_BITS = 8    // bits of a word
) (
    input  wire logic                 clk_i,
    input  wire logic                 rst_i,
    input  wire logic                 push_i,
    input  wire logic [DATA_BITS-1:0] data_i,
    output logic                      valid_o,  // data_o holds the oldest word
    output logic      [DATA_BITS-1:0] data_o,
    input  wire logic                 pop_i     // done with it; only while valid_o
);

  logic [DATA_BITS-1:0] words[1<<DEPTH_BITS];
  logic [DEPTH_BITS:0] head_q, tail_q;

  assign valid_o = head_q != tail_q;
  assign data_o  = words[head_q[DEPTH_BITS-1:0]];

  always_ff @(posedge clk_i) begin
    if (push_i) words[tail_q[DEPTH_BITS-1:0]] <= data_i;
    if (rst_i) begin
      head_q <= '0;
      tail_q <= '0;
    end else begin
      tail_q <= tail_q + (DEPTH_BITS + 1)'(push_i);
      head_q <= head_q + (DEPTH_BITS + 1)'(pop_i);
    end
  end

`ifndef SYNTHESIS
  logic [DEPTH_BITS:0] level;
  assign level = tail_q - head_q;
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      assert (!(push_i && level == (DEPTH_BITS + 1)'(1 << DEPTH_BITS) && !pop_i));
      assert (!(pop_i && !valid_o));
    end
  end
`endif

endmodule

`default_nettype wire
