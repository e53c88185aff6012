// Text facts behind two packed ports with credits, for the test harness (cpp/harness.hpp).
`default_nettype none

module weir_tb_facts
  import weir_match_pkg::*;
  import weir_facts_pkg::*;
#(
    parameter int unsigned BYTES = 64
) (
    input  wire logic                     clk_i,
    input  wire logic                     rst_i,
    input  wire logic                     in_valid_i,
    output logic                          in_ready_o,
    input  wire logic [(BYTES+32)*8-1:0]  in_data_i,
    output logic                          out_valid_o,
    input  wire logic                     out_ready_i,
    output logic      [127:0]             out_data_o
);

  typedef struct packed {
    logic [63:0]           word;
    logic [7:0]            number;      // op 1: 64 bits of the sets and words
    logic [31:0]           reserved;
    logic [6:0][7:0]       tail;
    logic [31:0]           last_place;
    logic [31:0]           start;
    logic [7:0]            tail_count;
    logic [7:0]            bank;
    logic [7:0]            last;
    logic [7:0]            op;          // 0 beat, 1 word of the sets
    logic [BYTES-1:0][7:0] data;
  } in_t;

  in_t item;
  escape_sets_t [1:0] sets_q;
  logic valid, pop, take;
  logic [63:0] behind_tail, alone;
  logic [5:0] credit_q;

  assign item = in_data_i;
  assign in_ready_o = item.op != '0 || credit_q != 6'd32;
  assign take = in_valid_i && in_ready_o && item.op == '0;

  weir_facts #(
      .BYTES(BYTES)
  ) dut (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .sets_i       (sets_q),
      .valid_i      (take),
      .last_i       (item.last[0]),
      .data_i       (item.data),
      .context_i    ('{
          bank: item.bank[0],
          start: item.start[19:0],
          last: item.last_place[19:0],
          tail_count: item.tail_count[2:0],
          tail: item.tail
      }),
      .valid_o      (valid),
      .behind_tail_o(behind_tail),
      .alone_o      (alone)
  );

  weir_fifo #(
      .DEPTH_BITS(5),
      .DATA_BITS (128)
  ) results (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (valid),
      .data_i ({alone, behind_tail}),
      .valid_o(out_valid_o),
      .data_o (out_data_o),
      .pop_i  (pop)
  );

  assign pop = out_valid_o && out_ready_i;

  always_ff @(posedge clk_i) begin
    if (in_valid_i && item.op == 8'd1) sets_q[item.bank[0]][item.number[4:0]*64+:64] <= item.word;
    if (rst_i) credit_q <= '0;
    else credit_q <= credit_q + 6'(take && item.last[0]) - 6'(pop);
  end

endmodule

`default_nettype wire
