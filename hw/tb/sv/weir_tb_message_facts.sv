// Message facts behind two packed ports, for the test harness (cpp/harness.hpp). Words of a frame, then what is asked of it.
`default_nettype none

module weir_tb_message_facts
  import weir_parse_pkg::*;
(
    input  wire logic             clk_i,
    input  wire logic             rst_i,
    input  wire logic             in_valid_i,
    output logic                  in_ready_o,
    input  wire logic [84*8-1:0]  in_data_i,
    output logic                  out_valid_o,
    input  wire logic             out_ready_i,
    output logic      [63:0]      out_data_o
);

  localparam int unsigned WORDS_LOG2 = 10;

  typedef struct packed {
    logic [511:0]    data;
    logic [6:0][7:0] tail;
    logic [7:0]      tail_count;
    logic [31:0]     last_place;
    logic [31:0]     start;
    logic [15:0]     word;        // op 0: where `data` goes; op 1: the frame's first
    logic [7:0]      wanted;      // 0 DNS, 1 TLS, 2 a datagram
    logic [7:0]      op;          // 0 word, 1 question
  } in_t;

  in_t item, asked_q;
  logic busy_q, start_q, valid;
  logic [15:0] address;
  logic [511:0] data;

  assign item = in_data_i;
  assign in_ready_o = !busy_q;
  assign out_valid_o = busy_q && !start_q && valid;

  weir_ram_1r1w #(
      .ADDRESS_BITS(WORDS_LOG2),
      .DATA_BITS   (512)
  ) words (
      .clk_i          (clk_i),
      .write_i        (in_valid_i && in_ready_o && item.op == 8'd0),
      .write_address_i(item.word[WORDS_LOG2-1:0]),
      .write_data_i   (item.data),
      .read_address_i (address[WORDS_LOG2-1:0]),
      .read_data_o    (data)
  );

  weir_message_facts dut (
      .clk_i       (clk_i),
      .rst_i       (rst_i),
      .start_i     (start_q),
      .dns_i       (asked_q.wanted[0]),
      .tls_i       (asked_q.wanted[1]),
      .datagram_i  (asked_q.wanted[2]),
      .word_i      (asked_q.word),
      .begin_i     (asked_q.start[19:0]),
      .last_i      (asked_q.last_place[19:0]),
      .tail_count_i(asked_q.tail_count[2:0]),
      .tail_i      (asked_q.tail),
      .address_o   (address),
      .data_i      (data),
      .valid_o     (valid),
      .facts_o     (out_data_o)
  );

  always_ff @(posedge clk_i) begin
    start_q <= 1'b0;
    if (in_valid_i && in_ready_o && item.op == 8'd1) begin
      asked_q <= item;
      start_q <= 1'b1;
    end
    if (rst_i) busy_q <= 1'b0;
    else if (in_valid_i && in_ready_o && item.op == 8'd1) busy_q <= 1'b1;
    else if (out_valid_o && out_ready_i) busy_q <= 1'b0;
  end

endmodule

`default_nettype wire
