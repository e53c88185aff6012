// weir_in_flight: a frame's first verdict finds it, a second one does not, and no other number is ever found.
`default_nettype none

module formal_in_flight #(
    parameter int unsigned DEPTH_LOG2 = 2,
    parameter int unsigned NUMBER_BITS = 3
) (
    input wire logic        clk_i,
    input wire logic        rst_i,
    input wire logic        push_i,
    input wire logic [NUMBER_BITS-1:0] push_number_i,
    input wire logic        answer_i,
    input wire logic [NUMBER_BITS-1:0] answer_number_i,
    input wire logic        mark_i            // this frame is followed
);

  logic full, valid, open;

  weir_in_flight #(
      .DEPTH_LOG2 (DEPTH_LOG2),
      .NUMBER_BITS(NUMBER_BITS)
  ) dut (
      .*,
      .full_o (full),
      .near_o (),
      .valid_o(valid),
      .open_o (open)
  );

  logic started_q = 1'b0;
  logic [NUMBER_BITS-1:0] last_q, followed_q, asked_q;
  logic marked_q, answered_q, busy_q, was_waiting_q, was_known_q;
  logic [DEPTH_LOG2+5:0] age_q;

  always_ff @(posedge clk_i) begin
    started_q <= 1'b1;
    if (push_i) last_q <= push_number_i;
    if (push_i && mark_i && !marked_q) begin
      marked_q   <= 1'b1;
      followed_q <= push_number_i;
    end
    if (answer_i) begin
      busy_q <= 1'b1;
      age_q <= '0;
      asked_q <= answer_number_i;
      was_waiting_q <= marked_q && !answered_q && answer_number_i == followed_q;
      was_known_q <= marked_q && answer_number_i == followed_q;
    end else begin
      age_q <= age_q + (DEPTH_LOG2 + 6)'(1);
    end
    if (valid) begin
      busy_q <= 1'b0;
      if (was_known_q) answered_q <= 1'b1;
    end
    if (rst_i) begin
      last_q <= '0;
      marked_q <= 1'b0;
      answered_q <= 1'b0;
      busy_q <= 1'b0;
    end

    assume (rst_i || started_q);
    // As weir_frame and weir_commands do: numbers ascend, and one thing at a time.
    assume (!push_i || (!full && !busy_q && !answer_i && push_number_i > last_q));
    assume (!answer_i || !busy_q);

    if (started_q && !rst_i) begin
      if (valid) assert (busy_q);
      if (valid && was_known_q) assert (open == was_waiting_q);
      // A number that no frame has had, or none yet.
      if (valid && open) assert (asked_q <= last_q);
      // It ends: a bit of the depth in two cycles, then as many as leave.
      if (busy_q) assert (32'(age_q) < 2 * (DEPTH_LOG2 + 1) + 2 * (1 << DEPTH_LOG2) + 4);
    end
  end

endmodule

`default_nettype wire
