// weir_fifo: a word comes out once, unchanged, behind those before it.
`default_nettype none

module formal_fifo #(
    parameter int unsigned DEPTH_BITS = 2,
    parameter int unsigned DATA_BITS = 3
) (
    input wire logic                 clk_i,
    input wire logic                 rst_i,
    input wire logic                 push_i,
    input wire logic [DATA_BITS-1:0] data_i,
    input wire logic                 pop_i,
    input wire logic                 mark_i   // this word is followed
);

  logic valid;
  logic [DATA_BITS-1:0] data;

  weir_fifo #(
      .DEPTH_BITS(DEPTH_BITS),
      .DATA_BITS (DATA_BITS)
  ) dut (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (push_i),
      .data_i (data_i),
      .valid_o(valid),
      .data_o (data),
      .pop_i  (pop_i)
  );

  logic started_q = 1'b0;
  logic [DEPTH_BITS:0] level_q, before_q;
  logic marked_q, done_q;
  logic [DATA_BITS-1:0] followed_q;

  always_ff @(posedge clk_i) begin
    started_q <= 1'b1;
    level_q <= rst_i ? '0 : level_q + (DEPTH_BITS + 1)'(push_i) - (DEPTH_BITS + 1)'(pop_i);
    if (push_i && mark_i && !marked_q) begin
      marked_q <= 1'b1;
      followed_q <= data_i;
      before_q <= level_q - (DEPTH_BITS + 1)'(pop_i);
    end else if (marked_q && !done_q && pop_i) begin
      if (before_q == '0) done_q <= 1'b1;
      else before_q <= before_q - (DEPTH_BITS + 1)'(1);
    end
    if (rst_i) begin
      marked_q <= 1'b0;
      done_q   <= 1'b0;
    end

    assume (rst_i || started_q);
    // Who writes holds credits; who reads waits for a word.
    assume (!push_i || pop_i || level_q != (DEPTH_BITS + 1)'(1 << DEPTH_BITS));
    assume (!pop_i || valid);

    if (started_q && !rst_i) begin
      assert (valid == (level_q != '0));
      if (marked_q && !done_q) assert (before_q < level_q);
      if (marked_q && !done_q && before_q == '0) assert (valid && data == followed_q);
    end
  end

endmodule

`default_nettype wire
