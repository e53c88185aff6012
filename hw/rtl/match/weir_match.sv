// The literal filter: from the beats of a frame to its hits.
//
// Function: every window of the lengths in use, over payload and tail, through Bloom partitions and exact entries; hits in
// order of position, then length, then slot, and an ending with the totals for each frame (hw-sim/src/literal). Latency:
// 12 cycles from the last beat of a frame without candidates to its ending. Throughput: one beat per cycle while there is
// no more than one candidate per beat on average; each further candidate, and each further hit of a candidate, costs a
// cycle. Back-pressure: ready_o, from credits of the candidate queue.
//
//     beats ─► windows ─┬► Bloom 4 ─┐                     ┌► exact 4 ─┐
//                       ├►   …      ├─► pick (queue) ─────┼►   …      ├─► hits (queue) ─► one by one
//                       └► Bloom 8 ─┘                     └► exact 8 ─┘
`default_nettype none

module weir_match
  import weir_contract_pkg::*;
  import weir_match_pkg::*;
#(
    parameter int unsigned BYTES = 64,                          // bytes of a beat
    // By window length, [0] four bytes. 0 partitions: the length is not built.
    parameter logic [LENGTHS-1:0][3:0] PARTITIONS = {4'd3, 4'd0, 4'd0, 4'd2, 4'd2},
    parameter logic [LENGTHS-1:0][7:0] BLOOM_LOG2 = {8'd18, 8'd15, 8'd15, 8'd15, 8'd15},
    parameter logic [LENGTHS-1:0][7:0] BUCKETS_LOG2 = {8'd13, 8'd11, 8'd11, 8'd11, 8'd12},
    parameter int unsigned WAYS = 4,                            // entries of a bucket
    parameter int unsigned QUEUE_BITS = 5                       // log2 of the beats with candidates that wait
) (
    input  wire logic                      clk_i,
    input  wire logic                      rst_i,
    input  wire match_geometry_t [1:0]     geometry_i,         // by bank; constant while the bank is in use
    output logic                           ready_o,
    input  wire logic                      valid_i,            // only while ready_o
    input  wire logic                      last_i,
    input  wire logic [BYTES-1:0][7:0]     data_i,
    input  wire scan_context_t             context_i,
    input  wire logic                      hit_ready_i,
    output logic                           hit_valid_o,
    output hit_t                           hit_o,
    // Tables of a bank that is not in use.
    input  wire logic                      write_bloom_i,
    input  wire logic                      write_exact_i,
    input  wire logic                      write_bank_i,
    input  wire logic [2:0]                write_length_i,
    input  wire logic [3:0]                write_part_i,       // partition, or way
    input  wire logic [23:0]               write_address_i,    // of 64 bits in the partition, or bucket
    input  wire logic [127:0]              write_data_i
);

  localparam int unsigned BLOOM_LATENCY = 4;
  localparam int unsigned EXACT_LATENCY = 3;
  localparam int unsigned HITS_BITS = 4;

  // ---- windows
  logic valid_a, last_a, bank_a;
  logic signed [20:0] position_a;
  logic [BYTES+REACH-1:0][7:0] folded_a;
  logic [BYTES+REACH-1:0] upper_a, known_a;
  logic [LENGTHS-1:0][BYTES-1:0] usable_a;

  weir_match_windows #(
      .BYTES(BYTES)
  ) windows (
      .clk_i     (clk_i),
      .rst_i     (rst_i),
      .valid_i   (valid_i),
      .last_i    (last_i),
      .data_i    (data_i),
      .context_i (context_i),
      .valid_o   (valid_a),
      .last_o    (last_a),
      .bank_o    (bank_a),
      .position_o(position_a),
      .folded_o  (folded_a),
      .upper_o   (upper_a),
      .known_o   (known_a),
      .usable_o  (usable_a)
  );

  // ---- Bloom
  typedef struct packed {
    logic                          valid;
    logic                          last;
    logic                          bank;
    logic signed [20:0]            position;
    logic [BYTES+REACH-1:0][7:0]   folded;
    logic [BYTES+REACH-1:0]        upper;
    logic [BYTES+REACH-1:0]        known;
    logic [LENGTHS-1:0][BYTES-1:0] usable;
  } beat_t;
  beat_t beat_a, beat_b;
  logic [LENGTHS-1:0][BYTES-1:0] pass;
  logic [BLOOM_LATENCY-1:0] valid_q;

  assign beat_a = '{
      valid: valid_a,
      last: last_a,
      bank: bank_a,
      position: position_a,
      folded: folded_a,
      upper: upper_a,
      known: known_a,
      usable: usable_a
  };

  weir_delay #(
      .CYCLES   (BLOOM_LATENCY),
      .DATA_BITS($bits(beat_t))
  ) beats (
      .clk_i (clk_i),
      .data_i(beat_a),
      .data_o(beat_b)
  );

  always_ff @(posedge clk_i) begin
    if (rst_i) valid_q <= '0;
    else valid_q <= {valid_q[BLOOM_LATENCY-2:0], valid_a};
  end

  for (genvar n = 0; n < LENGTHS; n++) begin : g_bloom
    if (PARTITIONS[n] != 0) begin : g_built
      weir_match_bloom #(
          .BYTES     (BYTES),
          .LENGTH    (n + SHORTEST),
          .LOG2      (32'(BLOOM_LOG2[n])),
          .PARTITIONS(32'(PARTITIONS[n]))
      ) bloom (
          .clk_i            (clk_i),
          .geometry_i       ({geometry_i[1].lengths[n], geometry_i[0].lengths[n]}),
          .bank_i           (bank_a),
          .folded_i         (folded_a),
          .pass_o           (pass[n]),
          .write_i          (write_bloom_i && write_length_i == n),
          .write_bank_i     (write_bank_i),
          .write_partition_i(write_part_i[1:0]),
          .write_address_i  (write_address_i[32'(BLOOM_LOG2[n])-7:0]),
          .write_data_i     (write_data_i[63:0])
      );
    end else begin : g_none
      assign pass[n] = '0;
    end
  end

  // ---- candidates
  logic candidate_valid, ending, hits_room;
  candidate_t candidate;
  scan_total_t total;

  weir_match_pick #(
      .BYTES     (BYTES),
      .DEPTH_BITS(QUEUE_BITS),
      .UNDER_WAY (BLOOM_LATENCY + 4)
  ) pick (
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .limit_i    ({geometry_i[1].candidates, geometry_i[0].candidates}),
      .room_o     (ready_o),
      .valid_i    (valid_q[BLOOM_LATENCY-1]),
      .last_i     (beat_b.last),
      .bank_i     (beat_b.bank),
      .position_i (beat_b.position),
      .folded_i   (beat_b.folded),
      .upper_i    (beat_b.upper),
      .known_i    (beat_b.known),
      .pass_i     (pass & beat_b.usable),
      .ready_i    (hits_room),
      .valid_o    (candidate_valid),
      .candidate_o(candidate),
      .ending_o   (ending),
      .total_o    (total)
  );

  // ---- exact entries
  typedef struct packed {
    logic                     ending;
    scan_total_t              total;
    logic signed [20:0]       position;
    logic [2*WAYS-1:0]        hit;
    logic [2*WAYS-1:0][31:0]  list_start;
    logic [2*WAYS-1:0][15:0]  list_count;
  } found_t;

  logic [LENGTHS-1:0][2*WAYS-1:0] hit;
  logic [LENGTHS-1:0][2*WAYS-1:0][31:0] list_start;
  logic [LENGTHS-1:0][2*WAYS-1:0][15:0] list_count;

  for (genvar n = 0; n < LENGTHS; n++) begin : g_exact
    if (PARTITIONS[n] != 0) begin : g_built
      weir_match_exact #(
          .LENGTH(n + SHORTEST),
          .LOG2  (32'(BUCKETS_LOG2[n])),
          .WAYS  (WAYS)
      ) exact (
          .clk_i          (clk_i),
          .geometry_i     ({geometry_i[1].lengths[n], geometry_i[0].lengths[n]}),
          .candidate_i    (candidate),
          .hit_o          (hit[n]),
          .list_start_o   (list_start[n]),
          .list_count_o   (list_count[n]),
          .write_i        (write_exact_i && write_length_i == n),
          .write_bank_i   (write_bank_i),
          .write_way_i    (write_part_i),
          .write_address_i(write_address_i[32'(BUCKETS_LOG2[n])-1:0]),
          .write_data_i   (write_data_i)
      );
    end else begin : g_none
      assign hit[n] = '0;
      assign list_start[n] = '0;
      assign list_count[n] = '0;
    end
  end

  typedef struct packed {
    logic               valid;
    logic               ending;
    scan_total_t        total;
    logic signed [20:0] position;
    logic [2:0]         length_of;
  } asked_t;
  asked_t asked_in, asked;
  logic [EXACT_LATENCY-1:0] asked_valid_q;
  assign asked_in = '{
      valid: candidate_valid,
      ending: ending,
      total: total,
      position: candidate.position,
      length_of: candidate.length_of
  };

  weir_delay #(
      .CYCLES   (EXACT_LATENCY),
      .DATA_BITS($bits(asked_t))
  ) asking (
      .clk_i (clk_i),
      .data_i(asked_in),
      .data_o(asked)
  );

  always_ff @(posedge clk_i) begin
    if (rst_i) asked_valid_q <= '0;
    else asked_valid_q <= {asked_valid_q[EXACT_LATENCY-2:0], candidate_valid || ending};
  end

  // ---- hits, one by one
  found_t found_in, found;
  logic found_push, found_valid, found_pop, found_over;
  logic [HITS_BITS:0] found_level_q;
  logic [2*WAYS-1:0] hit_done_q, hit_left, hit_after;
  logic [$clog2(2*WAYS)-1:0] slot;

  always_comb begin
    found_in.ending = asked.ending;
    found_in.total = asked.total;
    found_in.position = asked.position;
    found_in.hit = asked.valid ? hit[asked.length_of] : '0;
    found_in.list_start = list_start[asked.length_of];
    found_in.list_count = list_count[asked.length_of];
    found_push = asked_valid_q[EXACT_LATENCY-1] && (asked.ending || found_in.hit != '0);
  end

  weir_fifo #(
      .DEPTH_BITS(HITS_BITS),
      .DATA_BITS ($bits(found_t))
  ) founds (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (found_push),
      .data_i (found_in),
      .valid_o(found_valid),
      .data_o (found),
      .pop_i  (found_pop)
  );

  always_comb begin
    hit_left = found.hit & ~hit_done_q;
    slot = '0;
    for (int unsigned s = 2 * WAYS; s > 0; s--) if (hit_left[s-1]) slot = ($clog2(2 * WAYS))'(s - 1);
    hit_after = hit_left;
    hit_after[slot] = 1'b0;
    hit_o = '0;
    // A frame's ending comes behind its last candidate's hits.
    if (hit_left == '0) begin
      hit_o.ending = 1'b1;
      hit_o.total  = found.total;
    end else begin
      hit_o.position   = found.position;
      hit_o.list_start = found.list_start[slot];
      hit_o.list_count = found.list_count[slot];
    end
    hit_valid_o = found_valid;
    found_over = hit_left == '0 || (hit_after == '0 && !found.ending);
    found_pop = found_valid && hit_ready_i && found_over;
  end

  always_ff @(posedge clk_i) begin
    // Candidates under way in the exact stage have their place.
    hits_room <= found_level_q < (HITS_BITS + 1)'((1 << HITS_BITS) - EXACT_LATENCY - 3);
    if (rst_i) begin
      hit_done_q <= '0;
      found_level_q <= '0;
      hits_room <= 1'b0;
    end else begin
      found_level_q <= found_level_q + (HITS_BITS + 1)'(found_push) - (HITS_BITS + 1)'(found_pop);
      if (found_valid && hit_ready_i) hit_done_q <= found_over ? '0 : found.hit & ~hit_after;
    end
  end

  if (BYTES != 16 && BYTES != 32 && BYTES != 64) begin : g_check
    $error("BYTES must be 16, 32 or 64");
  end

endmodule

`default_nettype wire
