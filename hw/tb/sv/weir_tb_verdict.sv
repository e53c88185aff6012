// The second access behind two packed ports with credits, for the test harness (cpp/harness.hpp).
`default_nettype none

module weir_tb_verdict
  import weir_verdict_pkg::*;
(
    input  wire logic            clk_i,
    input  wire logic            rst_i,
    input  wire logic            in_valid_i,
    output logic                 in_ready_o,
    input  wire logic [319:0]    in_data_i,
    output logic                 out_valid_o,
    input  wire logic            out_ready_i,
    output logic      [639:0]    out_data_o
);

  typedef struct packed {
    verdict_state_t state;
    verdict_out_t   out;
  } out_t;

  logic valid, pop;
  out_t found, result;
  logic [5:0] credit_q;

  assign in_ready_o = credit_q != 6'd32;

  weir_verdict_access #(
      .FLOW_BITS(4)
  ) dut (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .valid_i(in_valid_i && in_ready_o),
      .slot_i (in_data_i[259:256]),
      .beat_i (in_data_i[$bits(verdict_in_t)-1:0]),
      .valid_o(valid),
      .out_o  (found.out),
      .state_o(found.state)
  );

  weir_fifo #(
      .DEPTH_BITS(5),
      .DATA_BITS ($bits(out_t))
  ) results (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (valid),
      .data_i (found),
      .valid_o(out_valid_o),
      .data_o (result),
      .pop_i  (pop)
  );

  assign pop = out_valid_o && out_ready_i;
  assign out_data_o = 640'(result);

  always_ff @(posedge clk_i) begin
    if (rst_i) credit_q <= '0;
    else credit_q <= credit_q + 6'(in_valid_i && in_ready_o) - 6'(pop);
  end

endmodule

`default_nettype wire
