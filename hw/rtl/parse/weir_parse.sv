// The parser: from the beats of frames to keys, places and guards.
//
// Function: one `parsed_t` per frame, in order, as hw-sim/src/parse.rs defines it. Latency: 26 cycles from the last beat
// of a frame. Throughput: one beat per cycle, so one frame per cycle where a frame is one beat. Back-pressure: none; the
// user holds credits for the results.
//
//     beats ──► words ──► link ──► IP header ──► 8 × extension ──► transport ──► payload, sums ──► options ──► finish
//                                     │                                                │              ▲
//                                     └──────────────── network_t (queue) ─────────────┴── collected ─┘
//
// Every header is found while the frame passes: a stage knows where its header begins from the stages before it, which
// have seen the same beat earlier. No header is too long and no chain too deep for the buffer, because there is none.
`default_nettype none

module weir_parse
  import weir_parse_pkg::*;
#(
    parameter  int unsigned BYTES = 64,                 // bytes of a beat: 16, 32 or 64
    localparam int unsigned COUNT = $clog2(BYTES) + 1
) (
    input  wire logic                   clk_i,
    input  wire logic                   rst_i,
    input  wire parse_config_t          config_i,       // constant while frames are under way
    input  wire logic                   valid_i,
    input  wire logic                   last_i,         // last beat of the frame
    input  wire logic [COUNT-1:0]       count_i,        // bytes of the beat; fewer than BYTES in the last one only
    input  wire logic [BYTES-1:0][7:0]  data_i,
    input  wire logic [     15:0]       link_i,         // LINKTYPE_* of the port
    input  wire logic [     31:0]       wire_length_i,  // in the last beat
    output logic                        valid_o,
    output parsed_t                     parsed_o
);

  localparam int unsigned N = BYTES / 4;
  localparam int unsigned LANE = $clog2(N);
  localparam int unsigned LINK_WORDS = 8;

  typedef struct packed {
    logic                valid;
    logic                first;
    logic                last;
    word_index_t         base;
    logic [N-1:0][31:0]  words;
  } beat_t;

  // ---- words
  beat_t beat_a;
  place_t length_a;
  link_e link_a;
  logic [31:0] wire_length_a;

  weir_parse_words #(
      .BYTES(BYTES)
  ) words (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .valid_i      (valid_i),
      .last_i       (last_i),
      .count_i      (count_i),
      .data_i       (data_i),
      .link_i       (link_i),
      .wire_length_i(wire_length_i),
      .valid_o      (beat_a.valid),
      .first_o      (beat_a.first),
      .last_o       (beat_a.last),
      .base_o       (beat_a.base),
      .words_o      (beat_a.words),
      .length_o     (length_a),
      .link_o       (link_a),
      .wire_length_o(wire_length_a)
  );

  // ---- link layer: the first words stand in fixed lanes
  beat_t beat_b_q;
  logic [LINK_WORDS-1:0][31:0] head;
  link_result_t link_b_q;
  place_t length_b_q;
  link_e kind_b_q;
  logic truncated_b_q;

  weir_parse_collect #(
      .N(N),
      .M(LINK_WORDS)
  ) link_words (
      .clk_i   (clk_i),
      .valid_i (beat_a.valid),
      .first_i (beat_a.first),
      .base_i  (beat_a.base),
      .beat_i  (beat_a.words),
      .known_i (1'b1),
      .header_i('0),
      .words_o (head),
      .held_o  ()
  );

  always_ff @(posedge clk_i) begin
    beat_b_q <= beat_a;
    link_b_q <= link_resolve(link_a, head, length_a < shift_of(link_a) ? '0 : length_a - shift_of(link_a));
    length_b_q <= length_a;
    kind_b_q <= link_a;
    truncated_b_q <= wire_length_a > 32'(length_a);
    if (rst_i) beat_b_q.valid <= 1'b0;
  end

  // ---- IP header
  network_t network_b, network;
  chain_t chain_b, chain_c_q;
  beat_t beat_c_q;
  logic [HEADER_WORDS-1:0][31:0] ip;
  word_index_t reached;
  logic finish_valid, take_network;

  weir_parse_collect #(
      .N(N),
      .M(HEADER_WORDS)
  ) network_words (
      .clk_i   (clk_i),
      .valid_i (beat_b_q.valid),
      .first_i (beat_b_q.first),
      .base_i  (beat_b_q.base),
      .beat_i  (beat_b_q.words),
      .known_i (link_b_q.ip),
      .header_i(word_index_t'(link_b_q.header)),
      .words_o (ip),
      .held_o  ()
  );

  always_comb begin
    network_b.link = link_b_q;
    network_b.kind = kind_b_q;
    network_b.length_of = length_b_q;
    network_b.truncated = truncated_b_q;
    network_b.network = ip;
    reached = beat_b_q.base + word_index_t'(N) - word_index_t'(link_b_q.header);
    chain_b = '0;
    chain_b.six = link_b_q.six;
    if (link_b_q.six) begin
      chain_b.header = word_index_t'(link_b_q.header) + word_index_t'(10);
      chain_b.last = {chain_b.header, 2'b00} + place_t'(be16(ip[1][15:0]));
      chain_b.next = ip[1][23:16];
      if (link_b_q.ip && reached > word_index_t'(1)) chain_b.state = CHAIN_WALK;
    end else begin
      chain_b.header = word_index_t'(link_b_q.header) + word_index_t'(ip[0][3:0]);
      chain_b.last = {15'd0, link_b_q.header, 2'b00} + place_t'(be16(ip[0][31:16]));
      chain_b.next = ip[2][15:8];
      if (link_b_q.ip && reached > word_index_t'(2)) chain_b.state = CHAIN_TRANSPORT;
    end
    chain_b.protocol = chain_b.next;
    // Nothing begins within the words that tell where it begins; a header length that says so is malformed.
    if (!link_b_q.six && ip[0][3:0] < 4'd5) chain_b.state = CHAIN_PENDING;
  end

  always_ff @(posedge clk_i) begin
    beat_c_q <= beat_b_q;
    chain_c_q <= chain_b;
    if (rst_i) beat_c_q.valid <= 1'b0;
  end

  // Waits for the end of the walk; as deep as the stages between.
  weir_fifo #(
      .DEPTH_BITS(4),
      .DATA_BITS ($bits(network_t))
  ) networks (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (beat_b_q.valid && beat_b_q.last),
      .data_i (network_b),
      .valid_o(),
      .data_o (network),
      .pop_i  (take_network)
  );

  // ---- IPv6 extension headers
  beat_t beat_d[EXTENSIONS+1];
  chain_t chain_d[EXTENSIONS+1];
  assign beat_d[0] = beat_c_q;
  assign chain_d[0] = chain_c_q;

  for (genvar e = 0; e < EXTENSIONS; e++) begin : g_extension
    weir_parse_extension #(
        .N(N)
    ) extension (
        .clk_i  (clk_i),
        .rst_i  (rst_i),
        .valid_i(beat_d[e].valid),
        .first_i(beat_d[e].first),
        .last_i (beat_d[e].last),
        .base_i (beat_d[e].base),
        .words_i(beat_d[e].words),
        .chain_i(chain_d[e]),
        .valid_o(beat_d[e+1].valid),
        .first_o(beat_d[e+1].first),
        .last_o (beat_d[e+1].last),
        .base_o (beat_d[e+1].base),
        .words_o(beat_d[e+1].words),
        .chain_o(chain_d[e+1])
    );
  end

  // ---- transport header
  beat_t beat_e, beat_e_q;
  chain_t chain_e, chain_e_q;
  logic [HEADER_WORDS-1:0][31:0] transport;
  assign beat_e  = beat_d[EXTENSIONS];
  assign chain_e = chain_d[EXTENSIONS];

  weir_parse_collect #(
      .N(N),
      .M(HEADER_WORDS)
  ) transport_words_of (
      .clk_i   (clk_i),
      .valid_i (beat_e.valid),
      .first_i (beat_e.first),
      .base_i  (beat_e.base),
      .beat_i  (beat_e.words),
      .known_i (chain_e.state == CHAIN_TRANSPORT),
      .header_i(chain_e.header),
      .words_o (),
      .held_o  (transport)
  );

  always_ff @(posedge clk_i) begin
    beat_e_q  <= beat_e;
    chain_e_q <= chain_e;
    if (rst_i) beat_e_q.valid <= 1'b0;
  end

  // ---- payload: first and last bytes, and the sum over the segment
  logic payload_known;
  logic [3:0] payload_words;
  word_index_t transport_reached;
  place_t segment_begin, segment_end;
  logic [N*4-1:0][7:0] lanes;
  logic [20:0] part, part_q;
  logic [6:0][7:0] ending, ending_q;
  logic [3:0][31:0] beginning;
  logic [31:0] sum, sum_q;
  logic valid_f_q, first_f_q, last_f_q;
  chain_t chain_f_q;
  logic [HEADER_WORDS-1:0][31:0] transport_f_q;

  assign lanes = beat_e_q.words;
  always_comb begin
    transport_reached = beat_e_q.base + word_index_t'(N) - chain_e_q.header;
    if (18'(chain_e_q.header) >= beat_e_q.base + word_index_t'(N)) transport_reached = '0;
    payload_words = transport_words(chain_e_q.protocol, chain_e_q.six, transport[3][7:4]);
    payload_known = chain_e_q.state == CHAIN_TRANSPORT &&
                    (chain_e_q.protocol != PROTOCOL_TCP || transport_reached > word_index_t'(3));
    segment_begin = {chain_e_q.header, 2'b00};
    segment_end = chain_e_q.last;
    if (chain_e_q.protocol == PROTOCOL_UDP && transport_reached > word_index_t'(1)) begin
      segment_end = segment_begin + place_t'(be16(transport[1][15:0]));
    end
    part = '0;
    for (int unsigned b = 0; b < N * 4; b++) begin
      if ({beat_e_q.base, 2'b00} + place_t'(b) >= segment_begin &&
          {beat_e_q.base, 2'b00} + place_t'(b) < segment_end) begin
        part = part + (b % 2 == 0 ? {5'd0, lanes[b], 8'd0} : 21'(lanes[b]));
      end
    end
    for (int unsigned j = 0; j < 7; j++) begin
      ending[j] = beat_e_q.first ? '0 : ending_q[j];
      if (18'((segment_end - place_t'(7 - j)) >> (LANE + 2)) == 18'(beat_e_q.base >> LANE)) begin
        ending[j] = lanes[(LANE+2)'(segment_end-place_t'(7 - j))];
      end
    end
  end

  weir_parse_collect #(
      .N(N),
      .M(4)
  ) payload_words_of (
      .clk_i   (clk_i),
      .valid_i (beat_e_q.valid),
      .first_i (beat_e_q.first),
      .base_i  (beat_e_q.base),
      .beat_i  (beat_e_q.words),
      .known_i (payload_known),
      .header_i(chain_e_q.header + word_index_t'(payload_words)),
      .words_o (),
      .held_o  (beginning)
  );

  assign sum = (first_f_q ? '0 : sum_q) + 32'(part_q);
  always_ff @(posedge clk_i) begin
    first_f_q <= beat_e_q.first;
    last_f_q <= beat_e_q.last;
    chain_f_q <= chain_e_q;
    part_q <= part;
    transport_f_q <= transport;
    if (beat_e_q.valid) ending_q <= ending;
    if (valid_f_q) sum_q <= sum;
    if (rst_i) valid_f_q <= 1'b0;
    else valid_f_q <= beat_e_q.valid;
  end

  // ---- all that was collected; pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1)
  collected_t collected_q, collected, waiting;
  logic collected_valid_q;
  logic [31:0] pseudo;
  logic [31:0] network_sum;
  place_t covered;
  assign take_network = valid_f_q && last_f_q;

  always_ff @(posedge clk_i) begin
    collected_q.network <= network;
    collected_q.chain <= chain_f_q;
    collected_q.transport <= transport_f_q;
    collected_q.first <= beginning;
    collected_q.last <= ending_q;
    collected_q.network_sum <= '0;
    collected_q.transport_sum <= sum;
    if (rst_i) collected_valid_q <= 1'b0;
    else collected_valid_q <= take_network;
  end

  always_comb begin
    collected = collected_q;
    network_sum = '0;
    for (int unsigned w = 0; w < HEADER_WORDS; w++) begin
      if (4'(w) < collected_q.network.network[0][3:0]) begin
        network_sum = network_sum + 32'(be16(collected_q.network.network[w][15:0])) +
                      32'(be16(collected_q.network.network[w][31:16]));
      end
    end
    collected.network_sum = network_sum;
    covered = collected_q.chain.last - {collected_q.chain.header, 2'b00};
    if (collected_q.chain.protocol == PROTOCOL_UDP) begin
      covered = place_t'(be16(collected_q.transport[1][15:0]));
    end
    pseudo = 32'(collected_q.chain.protocol) + 32'(covered[15:0]) + 32'(covered[19:16]);
    for (int unsigned w = 2; w < 10; w++) begin
      if (collected_q.chain.six || w == 3 || w == 4) begin
        pseudo = pseudo + 32'(be16(collected_q.network.network[w][15:0])) +
                 32'(be16(collected_q.network.network[w][31:16]));
      end
    end
    if (collected_q.chain.protocol != PROTOCOL_ICMP) begin
      collected.transport_sum = collected_q.transport_sum + pseudo;
    end
  end

  // ---- options; the rest waits as long
  logic network_odd, transport_odd, has_timestamp;
  logic [31:0] timestamp;
  logic [5:0] network_options, transport_options;
  assign network_options = collected.network.link.six || collected.network.network[0][3:0] < 4'd5
                               ? '0 : 6'({collected.network.network[0][3:0] - 4'd5, 2'b00});
  assign transport_options = collected.transport[3][7:4] < 4'd5
                               ? '0 : 6'({collected.transport[3][7:4] - 4'd5, 2'b00});

  weir_option_walk #(
      .TCP(1'b0)
  ) network_walk (
      .clk_i          (clk_i),
      .rst_i          (rst_i),
      .valid_i        (collected_valid_q),
      .options_i      (collected.network.network[14:5]),
      .count_i        (network_options),
      .valid_o        (),
      .odd_o          (network_odd),
      .has_timestamp_o(),
      .timestamp_o    ()
  );

  weir_option_walk #(
      .TCP(1'b1)
  ) transport_walk (
      .clk_i          (clk_i),
      .rst_i          (rst_i),
      .valid_i        (collected_valid_q),
      .options_i      (collected.transport[14:5]),
      .count_i        (transport_options),
      .valid_o        (finish_valid),
      .odd_o          (transport_odd),
      .has_timestamp_o(has_timestamp),
      .timestamp_o    (timestamp)
  );

  weir_fifo #(
      .DEPTH_BITS(4),
      .DATA_BITS ($bits(collected_t))
  ) waiting_of (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (collected_valid_q),
      .data_i (collected),
      .valid_o(),
      .data_o (waiting),
      .pop_i  (finish_valid)
  );

  always_ff @(posedge clk_i) begin
    parsed_o <= parse_finish(config_i, waiting, network_odd, transport_odd, has_timestamp, timestamp);
    if (rst_i) valid_o <= 1'b0;
    else valid_o <= finish_valid;
  end

endmodule

`default_nettype wire
