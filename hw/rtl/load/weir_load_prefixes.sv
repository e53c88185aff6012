// Prefixes of addresses: read, checked, and made into ranges (weir_load_ranges).
//
// Function: IPv4 prefixes come as words of 8 bytes, IPv6 prefixes as five of 4 bytes, sorted by address, then length (hw-sim's
// addresses). Latency: 2 cycles to the ranges. Throughput: that of weir_load_ranges. Back-pressure: ready_o.
`default_nettype none

module weir_load_prefixes
  import weir_contract_pkg::*;
  import weir_load_pkg::*;
#(
    parameter int unsigned FOUR_LOG2 = 15,  // ranges of IPv4 addresses
    parameter int unsigned SIX_LOG2 = 8     // ranges of IPv6 addresses
) (
    input  wire logic         clk_i,
    input  wire logic         rst_i,
    input  wire logic         start_i,      // the first prefix comes next
    input  wire logic         six_i,        // constant from start_i to done_o
    input  wire logic         writing_i,    // the same: ranges are written, else only counted
    input  wire logic [31:0]  classes_i,    // address classes
    output logic              ready_o,
    output logic              idle_o,       // what was taken is in its range
    input  wire logic         valid_i,      // only while ready_o
    input  wire logic [63:0]  word_i,
    // what is wrong with the prefix at byte at_o of the block
    output logic              value_o,
    output logic              reference_o,  // its class is none
    output logic [31:0]       at_o,
    input  wire logic         wrong_i,      // something was wrong already: ranges would mean nothing
    input  wire logic         end_i,        // for one cycle while idle_o: there are no more
    output logic              done_o,       // for one cycle
    output logic              over_o,       // then: there are more ranges than fit
    output table_write_t      write_o       // without bank
);

  typedef struct packed {
    logic [15:0]  class_of;
    logic [7:0]   length_of;
    logic [127:0] address;
  } prefix_t;

  prefix_t prefix, net_q, before_q;
  address_prefix_v4_t four;
  logic [159:0] parts, parts_q;
  logic [2:0] part_q;
  logic net_valid_q, first_q, bad, beyond, ranges_ready;
  logic [31:0] next_q;
  logic [127:0] host;

  assign four = word_i;
  assign parts = {word_i[31:0], parts_q[159:32]};
  assign ready_o = ranges_ready && !net_valid_q;
  assign idle_o = ready_o;
  assign value_o = net_valid_q && bad;
  assign reference_o = net_valid_q && !bad && beyond;

  always_comb begin
    if (!six_i) begin
      prefix = '{class_of: four.class_, length_of: four.length, address: 128'(four.address)};
    end else begin
      prefix.class_of = parts[159:144];
      prefix.length_of = parts[135:128];
      for (int unsigned n = 0; n < 16; n++) prefix.address[(15-n)*8+:8] = parts[n*8+:8];
    end
    host = (six_i ? '1 : 128'(32'hffff_ffff)) >> net_q.length_of;
    bad = net_q.length_of > (six_i ? 8'd128 : 8'd32) || (net_q.address & host) != '0 ||
          (!first_q && {before_q.address, before_q.length_of} >= {net_q.address, net_q.length_of});
    beyond = 32'(net_q.class_of) >= classes_i;
  end

  always_ff @(posedge clk_i) begin
    net_valid_q <= 1'b0;
    if (valid_i) begin
      parts_q <= parts;
      part_q  <= part_q == 3'd4 ? 3'd0 : part_q + 3'd1;
      if (!six_i || part_q == 3'd4) begin
        net_q <= prefix;
        net_valid_q <= 1'b1;
        at_o <= next_q;
        next_q <= next_q + (six_i ? 32'(ADDRESS_PREFIX_V6_BYTES) : 32'(ADDRESS_PREFIX_V4_BYTES));
      end
    end
    if (net_valid_q) begin
      before_q <= net_q;
      first_q  <= 1'b0;
    end
    if (start_i) begin
      part_q  <= '0;
      first_q <= 1'b1;
      next_q  <= '0;
    end
    if (rst_i) net_valid_q <= 1'b0;
  end

  weir_load_ranges #(
      .FOUR_LOG2(FOUR_LOG2),
      .SIX_LOG2 (SIX_LOG2)
  ) ranges (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .start_i(start_i),
      .six_i  (six_i),
      .write_i(writing_i),
      .ready_o(ranges_ready),
      .valid_i(net_valid_q && !bad && !beyond && !wrong_i),
      .first_i(net_q.address),
      .last_i (net_q.address | host),
      .class_i(net_q.class_of),
      .end_i  (end_i),
      .done_o (done_o),
      .over_o (over_o),
      .write_o(write_o)
  );

endmodule

`default_nettype wire
