// The search behind two packed ports, for the test harness (cpp/harness.hpp). Items: values and table writes.
`default_nettype none

module weir_tb_range_search #(
    parameter int unsigned KEY_BITS = 128,
    parameter int unsigned LOG2 = 8
) (
    input  wire logic         clk_i,
    input  wire logic         rst_i,
    input  wire logic         in_valid_i,
    output logic              in_ready_o,
    input  wire logic [319:0] in_data_i,
    output logic              out_valid_o,
    input  wire logic         out_ready_i,
    output logic      [31:0]  out_data_o
);

  localparam int unsigned LATENCY = LOG2 + 2;

  typedef struct packed {
    logic [1:0][127:0] value;
    logic [31:0]       address;
    logic [15:0]       reserved;
    logic [7:0]        bank;
    logic [7:0]        op;        // 0 search, 1 boundary, 2 class
  } in_t;

  in_t item;
  logic [1:0][15:0] found, result;
  logic [LATENCY-1:0] valid_q;
  logic [5:0] credit_q;
  logic take, pop;

  assign item = in_data_i;
  assign in_ready_o = item.op != '0 || credit_q != 6'd32;
  assign take = in_valid_i && in_ready_o && item.op == '0;

  weir_range_search #(
      .KEY_BITS(KEY_BITS),
      .LOG2    (LOG2)
  ) dut (
      .clk_i           (clk_i),
      .bank_i          (item.bank[0]),
      .value_i         ({item.value[1][KEY_BITS-1:0], item.value[0][KEY_BITS-1:0]}),
      .class_o         (found),
      .write_boundary_i(in_valid_i && item.op == 8'd1),
      .write_class_i   (in_valid_i && item.op == 8'd2),
      .write_bank_i    (item.bank[0]),
      .write_address_i (item.address[LOG2-1:0]),
      .write_data_i    (item.value[0][KEY_BITS-1:0])
  );

  weir_fifo #(
      .DEPTH_BITS(5),
      .DATA_BITS (32)
  ) results (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (valid_q[LATENCY-1]),
      .data_i (found),
      .valid_o(out_valid_o),
      .data_o (result),
      .pop_i  (pop)
  );

  assign pop = out_valid_o && out_ready_i;
  assign out_data_o = result;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid_q <= '0;
      credit_q <= '0;
    end else begin
      valid_q  <= {valid_q[LATENCY-2:0], take};
      credit_q <= credit_q + 6'(take) - 6'(pop);
    end
  end

endmodule

`default_nettype wire
