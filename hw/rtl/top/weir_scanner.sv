// One frame's payload through the literal filter and the text facts.
//
// Function: from start_i the frame's words are read from the buffer and laid out as beats; hits and their ending come out
// as of weir_match, facts when the last beat has passed. A frame without payload has an ending and no facts, at once.
// Latency: 3 cycles to the first beat. Throughput: one beat per cycle while the filter takes them. Back-pressure: the
// filter's.
`default_nettype none

module weir_scanner
  import weir_match_pkg::*;
  import weir_facts_pkg::*;
#(
    parameter int unsigned BYTES = 64,
    parameter logic [LENGTHS-1:0][3:0] PARTITIONS = {4'd3, 4'd0, 4'd0, 4'd2, 4'd2},
    parameter logic [LENGTHS-1:0][7:0] BLOOM_LOG2 = {8'd18, 8'd15, 8'd15, 8'd15, 8'd15},
    parameter logic [LENGTHS-1:0][7:0] BUCKETS_LOG2 = {8'd13, 8'd11, 8'd11, 8'd11, 8'd12}
) (
    input  wire logic                  clk_i,
    input  wire logic                  rst_i,
    input  wire match_geometry_t [1:0] geometry_i,
    input  wire escape_sets_t [1:0]    sets_i,
    input  wire logic                  start_i,
    input  wire logic                  empty_i,       // no payload
    input  wire logic [19:0]           length_i,      // bytes of the frame
    input  wire scan_context_t         context_i,     // stays until done
    input  wire logic                  word_valid_i,  // of the frame reader
    output logic                       word_ready_o,
    input  wire logic [511:0]          word_i,
    input  wire logic                  hit_ready_i,
    output logic                       hit_valid_o,
    output hit_t                       hit_o,
    output logic                       facts_valid_o, // until the next start
    output logic [63:0]                behind_tail_o,
    output logic [63:0]                alone_o,
    input  wire logic                  write_bloom_i,
    input  wire logic                  write_exact_i,
    input  wire logic                  write_bank_i,
    input  wire logic [2:0]            write_length_i,
    input  wire logic [3:0]            write_part_i,
    input  wire logic [23:0]           write_address_i,
    input  wire logic [127:0]          write_data_i
);

  localparam int unsigned LANES = 64 / BYTES;
  localparam int unsigned LANE = LANES == 1 ? 1 : $clog2(LANES);

  logic [LANE-1:0] lane_q;
  logic [19:0] left_q;
  logic beat, last, ready, busy_q, none_q, match_valid, facts_valid;
  logic [BYTES-1:0][7:0] data;
  hit_t hit;
  logic [63:0] behind_tail, alone;

  assign beat = busy_q && word_valid_i && ready;
  assign last = left_q <= 20'(BYTES);
  assign data = word_i[lane_q*BYTES*8+:BYTES*8];
  assign word_ready_o = beat && (last || lane_q == LANE'(LANES - 1));
  assign hit_valid_o = none_q || match_valid;

  always_comb begin
    hit_o = hit;
    if (none_q) begin
      hit_o = '0;
      hit_o.ending = 1'b1;
    end
  end

  weir_match #(
      .BYTES       (BYTES),
      .PARTITIONS  (PARTITIONS),
      .BLOOM_LOG2  (BLOOM_LOG2),
      .BUCKETS_LOG2(BUCKETS_LOG2)
  ) literals (
      .clk_i          (clk_i),
      .rst_i          (rst_i),
      .geometry_i     (geometry_i),
      .ready_o        (ready),
      .valid_i        (beat),
      .last_i         (last),
      .data_i         (data),
      .context_i      (context_i),
      .hit_ready_i    (hit_ready_i && !none_q),
      .hit_valid_o    (match_valid),
      .hit_o          (hit),
      .write_bloom_i  (write_bloom_i),
      .write_exact_i  (write_exact_i),
      .write_bank_i   (write_bank_i),
      .write_length_i (write_length_i),
      .write_part_i   (write_part_i),
      .write_address_i(write_address_i),
      .write_data_i   (write_data_i)
  );

  weir_facts #(
      .BYTES(BYTES)
  ) text (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .sets_i       (sets_i),
      .valid_i      (beat),
      .last_i       (last),
      .data_i       (data),
      .context_i    (context_i),
      .valid_o      (facts_valid),
      .behind_tail_o(behind_tail),
      .alone_o      (alone)
  );

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      lane_q <= '0;
      left_q <= length_i;
      behind_tail_o <= '0;
      alone_o <= '0;
    end else if (beat) begin
      lane_q <= last || lane_q == LANE'(LANES - 1) ? '0 : lane_q + LANE'(1);
      left_q <= left_q - 20'(BYTES);
    end
    if (facts_valid) begin
      behind_tail_o <= behind_tail;
      alone_o <= alone;
    end
    if (rst_i) begin
      busy_q <= 1'b0;
      none_q <= 1'b0;
      facts_valid_o <= 1'b0;
    end else begin
      if (start_i) begin
        busy_q <= !empty_i;
        none_q <= empty_i;
        facts_valid_o <= empty_i;
      end else begin
        if (beat && last) busy_q <= 1'b0;
        if (hit_ready_i) none_q <= 1'b0;
        if (facts_valid) facts_valid_o <= 1'b1;
      end
    end
  end

endmodule

`default_nettype wire
