// Reads a frame's words from the frame buffer, in order.
// Function: from start_i on, max(1, ceil(length / 64)) words. Latency: 2 cycles to the first word. Throughput: one word per
// cycle. Back-pressure: ready_i.
`default_nettype none

module weir_frame_reader
  import weir_core_pkg::*;
(
    input  wire logic         clk_i,
    input  wire logic         rst_i,
    input  wire logic         start_i,
    input  wire logic [15:0]  word_i,     // the first
    input  wire logic [19:0]  length_i,   // bytes of the frame
    output logic [15:0]       address_o,  // to the buffer
    input  wire logic [511:0] data_i,     // of the address in the cycle before
    output logic              valid_o,
    input  wire logic         ready_i,
    output logic              last_o,
    output logic [511:0]      data_o
);

  logic [15:0] at_q;
  logic [14:0] left_q;
  logic busy_q, valid_q, pop;

  assign pop = valid_q && ready_i;
  assign address_o = at_q + 16'(pop);
  assign valid_o = valid_q;
  assign last_o = left_q == 15'd1;
  assign data_o = data_i;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      at_q   <= word_i;
      left_q <= length_i == '0 ? 15'd1 : 15'((21'(length_i) + 21'd63) >> 6);
    end else if (pop) begin
      at_q   <= at_q + 16'd1;
      left_q <= left_q - 15'd1;
    end
    if (rst_i) begin
      busy_q  <= 1'b0;
      valid_q <= 1'b0;
    end else begin
      if (start_i) busy_q <= 1'b1;
      else if (pop && last_o) busy_q <= 1'b0;
      valid_q <= busy_q && !(pop && last_o) && !start_i;
    end
  end

endmodule

`default_nettype wire
