// The frame path: frames and commands in, verdicts, history, descriptors and flow records out.
//
// Function: hw-sim's pipeline. Frames are parsed and kept while they come, then taken through five stages one behind the
// other (weir_frame); commands (weir_commands) and endings find the stages empty. Latency: parsing 26 cycles behind a frame's
// last beat, then that of weir_frame. Throughput: see weir_frame. Back-pressure: ready_o before a frame's first beat; inside
// everything waits for the host's rings and memory alone.
//
//     beats ─┬► parser ─────► parsed ─┐
//            └► frame buffer ─────────┴► weir_frame ─┬► table, accesses, scanner, judge
//     TX rings ─► weir_commands ─────────────────────┼► room, life ─► queue writer ─► stores
//                                                    └► egress
`default_nettype none

module weir_core
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
  import weir_facts_pkg::*;
  import weir_judge_pkg::*;
  import weir_verdict_pkg::*;
  import weir_dma_pkg::*;
  import weir_core_pkg::*;
  import weir_frame_pkg::*;
#(
    parameter int unsigned BYTES = 64,
    parameter int unsigned QUEUES_LOG2 = 1,
    parameter int unsigned BUCKETS_LOG2 = 3,     // flow table: buckets of eight entries
    parameter int unsigned WORDS_LOG2 = 13,      // frame buffer: words of 64 bytes
    parameter int unsigned PINS_LOG2 = 12,       // descriptors of a ring, at most
    parameter int unsigned RESIDENTS_LOG2 = 12,  // records of flows in a history ring, at most
    parameter int unsigned IN_FLIGHT_LOG2 = 12,  // diverted frames without a verdict, at most
    parameter logic [LENGTHS-1:0][3:0] PARTITIONS = {4'd3, 4'd0, 4'd0, 4'd2, 4'd2},
    parameter logic [LENGTHS-1:0][7:0] BLOOM_LOG2 = {8'd19, 8'd15, 8'd15, 8'd17, 8'd19},
    parameter logic [LENGTHS-1:0][7:0] BUCKETS_OF_LOG2 = {8'd14, 8'd11, 8'd11, 8'd12, 8'd14},
    parameter int unsigned RANGES4_LOG2 = 15,
    parameter int unsigned RANGES6_LOG2 = 8,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2,
    localparam int unsigned COUNT = $clog2(BYTES) + 1,
    localparam int unsigned SLOT = BUCKETS_LOG2 + 3
) (
    input  wire logic                       clk_i,
    input  wire logic                       rst_i,
    input  wire core_config_t               config_i,
    input  wire queue_config_t [QUEUES-1:0] queues_i,
    input  wire queue_host_t [QUEUES-1:0]   host_i,
    input  wire active_t                    active_i,
    input  wire match_geometry_t [1:0]      geometry_i,
    input  wire escape_sets_t [1:0]         sets_i,
    input  wire logic [1:0][31:0]           list_limit_i,
    input  wire logic                       heartbeat_i,
    input  wire logic                       flush_i,
    input  wire logic                       over_i,        // the source is over at time_i
    input  wire logic                       time_valid_i,
    input  wire logic [63:0]                time_i,
    // frames
    input  wire logic                       valid_i,
    output logic                            ready_o,
    input  wire logic                       last_i,
    input  wire logic [COUNT-1:0]           count_i,
    input  wire logic [BYTES-1:0][7:0]      data_i,
    input  wire logic [15:0]                link_i,        // with every beat
    input  wire logic [31:0]                wire_length_i,
    input  wire logic [63:0]                number_i,
    input  wire logic [63:0]                frame_time_i,
    input  wire logic                       hold_i,        // frames stay where they are; commands go on
    input  wire logic                       lossy_i,       // this source cannot wait, whatever SOURCE_WAITS says
    output logic                            taken_o,       // a frame has its fate
    output logic                            waits_o,       // a frame waits for the host
    output logic                            stalled_o,     // commands or an ending wait for the host
    output logic                            rest_o,        // nothing goes on but what waits
    output logic                            ended_o,       // flush or over: done
    output logic [63:0]                     frame_number_o,
    output logic [63:0]                     frame_now_o,
    output logic                            expired_o,
    // host memory
    output logic                            store_valid_o,
    input  wire logic                       store_ready_i,
    output store_t                          store_o,
    output read_request_t                   read_o,
    input  wire read_answer_t               read_i,
    output logic [QUEUES-1:0][31:0]         tx_consumer_o,
    output error_t                          error_o,
    // port
    output egress_t                         egress_o,
    input  wire logic                       egress_ready_i,
    output logic [COUNTER_COUNT-1:0][63:0]  counters_o,
    output logic [GUARDS_MAX-1:0][63:0]     guard_counters_o,
    // Tables of a bank that is not in use.
    output logic [1:0]                      in_use_o,       // banks that frames are judged by
    input  wire logic                       write_i,
    input  wire logic                       write_bank_i,
    input  wire logic [3:0]                 write_table_i,  // 0..5 of the judge; 6 Bloom, 7 exact; 8 ports; 9, 10 IPv4
                                                            // boundary, class; 11, 12 IPv6
    input  wire logic [2:0]                 write_length_i,
    input  wire logic [3:0]                 write_part_i,
    input  wire logic [23:0]                write_address_i,
    input  wire logic [1023:0]              write_data_i
);

  localparam int unsigned LINE = 8 * 112;

  // ---- frames come: buffer, parser, what belongs to them
  logic frame, buffer_ready, open_q, beat, lossy, head_lossy;
  logic [15:0] first_word, read_address, free_word;
  logic [19:0] frame_length;
  logic [511:0] buffer_word, message_word;
  logic [15:0] message_address, scan_address;
  logic [511:0] scan_buffer_word;
  logic parsed_valid, head_valid, meta_valid, pop;
  parsed_t parsed_out, parsed;
  frame_meta_t meta_in, meta, fate_meta;
  logic fate;
  logic [3:0] held_q;

  assign ready_o = open_q || (buffer_ready && held_q < 4'd8);
  assign beat = valid_i && ready_o;
  assign meta_in = '{
      link: link_i,
      wire_length: wire_length_i,
      number: number_i,
      time_of: frame_time_i,
      word: first_word,
      length_of: frame_length
  };

  weir_parse #(
      .BYTES(BYTES)
  ) parser (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .config_i     (config_i.parse),
      .valid_i      (beat),
      .last_i       (last_i),
      .count_i      (count_i),
      .data_i       (data_i),
      .link_i       (link_i),
      .wire_length_i(wire_length_i),
      .valid_o      (parsed_valid),
      .parsed_o     (parsed_out)
  );

  weir_frame_buffer #(
      .BYTES     (BYTES),
      .WORDS_LOG2(WORDS_LOG2)
  ) buffer (
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .valid_i    (beat),
      .ready_o    (buffer_ready),
      .last_i     (last_i),
      .count_i    (count_i),
      .data_i     (data_i),
      .frame_o    (frame),
      .word_o     (first_word),
      .length_o   (frame_length),
      .address_i  (read_address),
      .data_o     (buffer_word),
      .address_b_i(message_address),
      .data_b_o   (message_word),
      .address_c_i(scan_address),
      .data_c_o   (scan_buffer_word),
      .free_i     (fate),
      .free_word_i(free_word)
  );

  weir_fifo #(
      .DEPTH_BITS(3),
      .DATA_BITS ($bits(parsed_t))
  ) parseds (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (parsed_valid),
      .data_i (parsed_out),
      .valid_o(head_valid),
      .data_o (parsed),
      .pop_i  (pop)
  );

  weir_fifo #(
      .DEPTH_BITS(3),
      .DATA_BITS ($bits(frame_meta_t) + 1)
  ) metas (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (frame),
      .data_i ({lossy_i, meta_in}),
      .valid_o(meta_valid),
      .data_o ({head_lossy, meta}),
      .pop_i  (pop)
  );

  always_comb begin
    free_word = fate_meta.word + 16'((21'(fate_meta.length_of) + 21'd63) >> 6);
    if (fate_meta.length_of == '0) free_word = fate_meta.word + 16'd1;
    if (32'(fate_meta.length_of) > (32'(FRAME_LENGTH_MAX) / 64 + 1) * 64) begin
      free_word = fate_meta.word + 16'(32'(FRAME_LENGTH_MAX) / 64 + 1);
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      open_q <= 1'b0;
      held_q <= '0;
    end else begin
      if (beat) open_q <= !last_i;
      held_q <= held_q + 4'(beat && !open_q) - 4'(pop);
    end
  end

  // ---- who is at work
  work_e work;
  logic go_ending, go_commands, go_frame, ending_done, commands_done, frame_done, frame_waited, waits_new;
  logic drained;
  logic commands_pending, may_wait, ending_stalled, flush_asked, ending_begun, item_ready;

  assign lossy = head_lossy;
  assign may_wait = config_i.source_waits && !lossy;
  assign taken_o = fate;

  weir_turns turns (
      .clk_i           (clk_i),
      .rst_i           (rst_i),
      .flush_i         (flush_i),
      .over_i          (over_i),
      .head_i          (head_valid && meta_valid),
      .hold_i          (hold_i),
      .may_wait_i      (may_wait),
      .pending_i       (commands_pending),
      .ending_begun_i  (ending_begun),
      .ending_done_i   (ending_done),
      .ending_stalled_i(ending_stalled),
      .commands_done_i (commands_done),
      .frame_done_i    (frame_done),
      .frame_waited_i  (frame_waited),
      .drained_i       (drained),
      .writer_idle_i   (item_ready),
      .work_o          (work),
      .flush_o         (flush_asked),
      .go_ending_o     (go_ending),
      .go_commands_o   (go_commands),
      .go_frame_o      (go_frame),
      .pop_o           (pop),
      .waits_o         (waits_o),
      .waits_new_o     (waits_new),
      .stalled_o       (stalled_o),
      .ended_o         (ended_o),
      .rest_o          (rest_o)
  );

  // ---- requests of all who may ask
  table_request_t table_frame, table_room, table_commands, table_ending, table_request;
  verdict_request_t verdict_frame, verdict_room, verdict_commands, verdict_life, verdict_ending, verdict_request;
  parse_request_t parse_frame, parse_life, parse_request;
  life_request_t life_frame, life_room, life_commands, life_ending;
  write_request_t write_frame, write_commands, write_life, write_request;
  pin_request_t pin_frame, pin_life, pin_room;
  identity_write_t identity_frame, identity_commands, identity_write;
  count_t count_frame, count_commands, count_life, count;
  table_answer_t table_answer;
  parse_answer_t parse_answer;
  verdict_answer_t verdict_answer, verdict_answer_frame;
  logic verdict_valid, verdict_others;
  pin_answer_t pin_answer;
  room_request_t room_request;
  room_answer_t room_answer;
  recorded_t recorded;
  identity_t identity;
  life_request_t life_request;
  logic life_done, life_busy_q, in_flight_full, in_flight_near, in_flight_push, answer, answer_valid, answer_open;
  logic pin_ready, room_hold, room_quiet, lookup_busy;
  logic [63:0] bytes_ahead;
  place_request_t place_request;
  record_place_t place;
  logic [63:0] answer_number;
  logic [31:0] identity_slot, slot_life, slot_commands, slot_ending;
  logic [QUEUES-1:0][31:0] descriptors_free, records_free;
  logic [QUEUES-1:0] records_on;
  logic any_record_full;
  logic [63:0] cause;

  always_comb begin
    table_request = table_frame | table_room | table_commands | table_ending;
    // Of the others one at most asks, and only the room while frames are on their way.
    verdict_request = verdict_room | verdict_commands | verdict_life | verdict_ending;
    if (verdict_frame.valid) verdict_request = verdict_frame;
    parse_request = parse_frame | parse_life;
    write_request = write_frame | write_commands | write_life;
    identity_write = identity_frame | identity_commands;
    count = count_frame | count_commands | count_life;
    // No amount is the counter of all ones.
    count.amount_of = count_frame.amount_of & count_commands.amount_of & count_life.amount_of;
    count.more[COUNTER_HISTORY_WAITS] = waits_new;
    any_record_full = 1'b0;
    for (int unsigned q = 0; q < QUEUES; q++) begin
      if (records_on[q] && records_free[q] == '0 && 6'(q) <= config_i.queue_mask) any_record_full = 1'b1;
    end
    unique case (work)
      COMMANDS: identity_slot = life_busy_q ? slot_life : slot_commands;
      ENDING: identity_slot = life_busy_q ? slot_life : slot_ending;
      default: identity_slot = slot_life;
    endcase
  end

  assign life_request = life_frame | life_room | life_commands | life_ending;
  always_ff @(posedge clk_i) begin
    if (rst_i || life_done) life_busy_q <= 1'b0;
    else if (life_request.valid) life_busy_q <= 1'b1;
  end

  // ---- keys
  logic key_frame, key_commands, key_valid, from_lower;
  flow_key_t key, key_given;
  logic [63:0] hash;

  weir_flow_key keys (
      .clk_i       (clk_i),
      .rst_i       (rst_i),
      .vlan_key_i  (config_i.vlan_key),
      .constants_i (config_i.flow_hash),
      .valid_i     (key_frame || key_commands),
      .parsed_i    (parsed),
      .given_i     (key_commands),
      .key_i       (key_given),
      .valid_o     (key_valid),
      .key_o       (key),
      .hash_o      (hash),
      .from_lower_o(from_lower)
  );

  // ---- flow table, the two halves of an entry, and what it is
  logic memory_valid, memory_ready, memory_write, memory_answer;
  logic [SLOT:0] memory_address;
  logic [LINE-1:0] memory_data, memory_line;

  weir_flow_table #(
      .BUCKETS_LOG2(BUCKETS_LOG2)
  ) flows (
      .clk_i            (clk_i),
      .rst_i            (rst_i),
      .valid_i          (table_request.valid),
      .ready_o          (),
      .op_i             (table_request.op),
      .key_i            (table_request.key),
      .hash_i           (table_request.hash),
      .now_i            (table_request.now),
      .expiry_i         (table_request.expiry),
      .slot_i           (table_request.slot),
      .generation_i     (table_request.generation_of),
      .valid_o          (table_answer.valid),
      .live_o           (table_answer.live),
      .created_o        (table_answer.created),
      .slot_o           (table_answer.slot),
      .generation_o     (table_answer.generation_of),
      .ended_o          (table_answer.ended),
      .ended_slot_o     (table_answer.ended_slot),
      .swept_o          (table_answer.swept),
      .used_o           (table_answer.used),
      .request_valid_o  (memory_valid),
      .request_ready_i  (memory_ready),
      .request_write_o  (memory_write),
      .request_address_o(memory_address),
      .request_data_o   (memory_data),
      .response_valid_i (memory_answer),
      .response_data_i  (memory_line)
  );

  weir_flow_memory #(
      .ADDRESS_BITS(SLOT + 1),
      .LINE        (LINE)
  ) flow_memory (
      .clk_i            (clk_i),
      .rst_i            (rst_i),
      .request_valid_i  (memory_valid),
      .request_ready_o  (memory_ready),
      .request_write_i  (memory_write),
      .request_address_i(memory_address),
      .request_data_i   (memory_data),
      .response_valid_o (memory_answer),
      .response_data_o  (memory_line)
  );

  weir_flow_access #(
      .FLOW_BITS(SLOT)
  ) first_access (
      .clk_i    (clk_i),
      .rst_i    (rst_i),
      .config_i (config_i.follow),
      .valid_i  (parse_request.valid),
      .divert_i (parse_request.divert),
      .peek_i   (parse_request.peek),
      .slot_i   (parse_request.slot[SLOT-1:0]),
      .arrival_i(parse_request.arrival),
      .valid_o  (parse_answer.valid),
      .staged_o (parse_answer.staged),
      .state_o  (parse_answer.state)
  );

  weir_verdict_access #(
      .FLOW_BITS(SLOT)
  ) second_access (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .valid_i(verdict_request.valid),
      .slot_i (verdict_request.slot[SLOT-1:0]),
      .beat_i (verdict_request.beat),
      .valid_o(verdict_valid),
      .out_o  (verdict_answer.out),
      .state_o(verdict_answer.state)
  );

  always_comb begin
    verdict_answer.valid = verdict_valid && verdict_others;
    verdict_answer_frame = verdict_answer;
    verdict_answer_frame.valid = verdict_valid && !verdict_others;
  end

  weir_ram_1r1w #(
      .ADDRESS_BITS(SLOT),
      .DATA_BITS   ($bits(identity_t))
  ) identities (
      .clk_i          (clk_i),
      .write_i        (identity_write.valid),
      .write_address_i(identity_write.slot[SLOT-1:0]),
      .write_data_i   (identity_write.identity),
      .read_address_i (identity_slot[SLOT-1:0]),
      .read_data_o    (identity)
  );

  // ---- rings
  logic [QUEUES-1:0][31:0] descriptor_entries, descriptor_consumer, record_entries, record_consumer;
  always_comb begin
    for (int unsigned q = 0; q < QUEUES; q++) begin
      descriptor_entries[q] = queues_i[q].descriptor_entries;
      descriptor_consumer[q] = host_i[q].descriptor_consumer;
      record_entries[q] = queues_i[q].flow_record_entries;
      record_consumer[q] = host_i[q].flow_record_consumer;
    end
  end

  weir_pins #(
      .QUEUES_LOG2(QUEUES_LOG2),
      .DEPTH_LOG2 (PINS_LOG2)
  ) pins (
      .clk_i     (clk_i),
      .rst_i     (rst_i),
      .entries_i (descriptor_entries),
      .consumer_i(descriptor_consumer),
      .ready_o   (pin_ready),
      .request_i (!pin_ready ? '0 : pin_frame.valid ? pin_frame : pin_life | pin_room),
      .answer_o  (pin_answer),
      .producer_o(),
      .free_o    (descriptors_free)
  );

  weir_room #(
      .QUEUES_LOG2   (QUEUES_LOG2),
      .RESIDENTS_LOG2(RESIDENTS_LOG2)
  ) room (
      .clk_i                 (clk_i),
      .rst_i                 (rst_i),
      .any_flow_record_full_i(any_record_full),
      .config_i              (queues_i),
      .host_i                (host_i),
      .descriptors_free_i    (descriptors_free),
      .request_i             (room_request),
      .answer_o              (room_answer),
      .drained_i             (drained),
      .hold_i                (room_hold),
      .lookup_busy_i         (lookup_busy),
      .quiet_o               (room_quiet),
      .ahead_i               (bytes_ahead),
      .place_i               (place_request),
      .place_o               (place),
      .recorded_i            (recorded),
      .pin_o                 (pin_room),
      .pin_ready_i           (pin_ready && !pin_frame.valid),
      .pin_i                 (pin_answer),
      .table_o               (table_room),
      .table_i               (table_answer),
      .verdict_o             (verdict_room),
      .verdict_ready_i       (!verdict_frame.valid),
      .verdict_i             (verdict_answer),
      .life_o                (life_room),
      .life_done_i           (life_done)
  );

  weir_in_flight #(
      .DEPTH_LOG2(IN_FLIGHT_LOG2)
  ) in_flight (
      .clk_i          (clk_i),
      .rst_i          (rst_i),
      .push_i         (in_flight_push),
      .push_number_i  (fate_meta.number),
      .full_o         (in_flight_full),
      .near_o         (in_flight_near),
      .answer_i       (answer),
      .answer_number_i(answer_number),
      .valid_o        (answer_valid),
      .open_o         (answer_open)
  );

  weir_life #(
      .QUEUES_LOG2(QUEUES_LOG2)
  ) life (
      .clk_i            (clk_i),
      .rst_i            (rst_i),
      .epoch_i          (active_i.valid ? active_i.epoch : '0),
      .number_i         (frame_number_o),
      .cause_i          (cause),
      .now_i            (frame_now_o),
      .record_entries_i (record_entries),
      .record_consumer_i(record_consumer),
      .request_i        (life_request),
      .done_o           (life_done),
      .records_on_o     (records_on),
      .records_free_o   (records_free),
      .parse_o          (parse_life),
      .parse_i          (parse_answer),
      .verdict_o        (verdict_life),
      .verdict_i        (verdict_answer),
      .identity_slot_o  (slot_life),
      .identity_i       (identity),
      .write_o          (write_life),
      .write_ready_i    (item_ready),
      .pin_o            (pin_life),
      .pin_i            (pin_answer),
      .count_o          (count_life)
  );

  weir_ending #(
      .QUEUES_LOG2(QUEUES_LOG2),
      .SLOT       (SLOT)
  ) ending (
      .clk_i             (clk_i),
      .rst_i             (rst_i),
      .go_i              (go_ending),
      .pause_i           (work != ENDING),
      .flush_i           (flush_asked),
      .again_i           (flush_asked),
      .begun_o           (ending_begun),
      .now_i             (frame_now_o),
      .done_o            (ending_done),
      .stalled_o         (ending_stalled),
      .descriptors_free_i(descriptors_free),
      .records_on_i      (records_on),
      .records_free_i    (records_free),
      .table_o           (table_ending),
      .table_i           (table_answer),
      .verdict_o         (verdict_ending),
      .verdict_i         (verdict_answer),
      .identity_slot_o   (slot_ending),
      .identity_i        (identity),
      .life_o            (life_ending),
      .life_done_i       (life_done)
  );

  egress_t egress_commands, egress_frame;
  weir_commands #(
      .QUEUES_LOG2(QUEUES_LOG2)
  ) commands (
      .clk_i             (clk_i),
      .rst_i             (rst_i),
      .go_i              (go_commands),
      .done_o            (commands_done),
      .pending_o         (commands_pending),
      .config_i          (config_i),
      .host_i            (host_i),
      .descriptors_free_i(descriptors_free),
      .records_on_i      (records_on),
      .records_free_i    (records_free),
      .now_i             (frame_now_o),
      .read_o            (read_o),
      .read_i            (read_i),
      .hash_valid_o      (key_commands),
      .hash_key_o        (key_given),
      .hash_valid_i      (key_valid),
      .hash_i            (hash),
      .table_o           (table_commands),
      .table_i           (table_answer),
      .verdict_o         (verdict_commands),
      .verdict_i         (verdict_answer),
      .identity_o        (identity_commands),
      .identity_slot_o   (slot_commands),
      .identity_i        (identity),
      .life_o            (life_commands),
      .life_done_i       (life_done),
      .answer_o          (answer),
      .answer_number_o   (answer_number),
      .answer_valid_i    (answer_valid),
      .answer_open_i     (answer_open),
      .write_o           (write_commands),
      .write_ready_i     (item_ready),
      .egress_o          (egress_commands),
      .egress_ready_i    (egress_ready_i),
      .consumer_o        (tx_consumer_o),
      .error_o           (error_o),
      .count_o           (count_commands)
  );

  // ---- frames on their way
  logic classes_go, classes_bank, classes_valid, bank, scan_go, scanned, hit_valid, hit_ready;
  logic facts_valid, facts_ready, fired_valid, fired_ready, judged_valid, read_scan, read_go, read_done;
  logic read_out, read_out_q;
  logic [1:0][15:0] addresses, ports;
  logic [63:0] behind_tail, alone, fired, message_facts;
  logic messages_valid;
  frame_t scanning;
  parsed_t scanning_parsed, lookup_parsed;
  logic [1:0] dns_armed, tls_armed_q;  // by bank
  logic [1:0][1:0] dns_guards_q;
  scan_context_t scan_context;
  frame_facts_t frame_facts;
  hit_t hit;
  judged_t judged;
  logic word_valid, word_ready, word_last, record_ready, scan_word_valid, scan_ready;
  logic [511:0] word, scan_word;
  logic [19:0] left_q;

  weir_frame #(
      .QUEUES_LOG2(QUEUES_LOG2),
      .SLOT       (SLOT)
  ) frames (
      .clk_i             (clk_i),
      .rst_i             (rst_i),
      .go_i              (go_frame),
      .taken_o           (frame_done),
      .waited_o          (frame_waited),
      .drained_o         (drained),
      .in_use_o          (in_use_o),
      .done_o            (fate),
      .fate_meta_o       (fate_meta),
      .meta_i            (meta),
      .parsed_i          (parsed),
      .may_wait_i        (may_wait),
      .config_i          (config_i),
      .queues_i          (queues_i),
      .active_i          (active_i),
      .heartbeat_i       (heartbeat_i),
      .time_valid_i      (time_valid_i),
      .time_i            (time_i),
      .number_o          (frame_number_o),
      .cause_o           (cause),
      .now_o             (frame_now_o),
      .expired_o         (expired_o),
      .key_valid_o       (key_frame),
      .key_valid_i       (key_valid),
      .key_i             (key),
      .hash_i            (hash),
      .from_lower_i      (from_lower),
      .room_o            (room_request),
      .room_i            (room_answer),
      .room_hold_o       (room_hold),
      .lookup_busy_o     (lookup_busy),
      .room_quiet_i      (room_quiet),
      .ahead_o           (bytes_ahead),
      .place_o           (place_request),
      .place_i           (place),
      .descriptors_free_i(descriptors_free),
      .records_on_i      (records_on),
      .records_free_i    (records_free),
      .in_flight_full_i  (in_flight_full),
      .in_flight_near_i  (in_flight_near),
      .in_flight_o       (in_flight_push),
      .table_o           (table_frame),
      .table_i           (table_answer),
      .parse_o           (parse_frame),
      .parse_i           (parse_answer),
      .verdict_o         (verdict_frame),
      .verdict_i         (verdict_answer_frame),
      .verdict_others_o  (verdict_others),
      .identity_o        (identity_frame),
      .life_o            (life_frame),
      .life_done_i       (life_done),
      .classes_valid_o   (classes_go),
      .classes_bank_o    (classes_bank),
      .lookup_parsed_o   (lookup_parsed),
      .classes_valid_i   (classes_valid),
      .addresses_i       (addresses),
      .ports_i           (ports),
      .scan_frame_o      (scanning),
      .scan_parsed_o     (scanning_parsed),
      .bank_o            (bank),
      .scan_o            (scan_go),
      .scan_context_o    (scan_context),
      .scanned_i         (scanned && messages_valid),
      .messages_i        (message_facts),
      .behind_tail_i     (behind_tail),
      .alone_i           (alone),
      .hit_taken_i       (hit_valid && hit_ready),
      .hit_i             (hit),
      .facts_valid_o     (facts_valid),
      .facts_ready_i     (facts_ready),
      .facts_o           (frame_facts),
      .fired_valid_o     (fired_valid),
      .fired_ready_i     (fired_ready),
      .fired_o           (fired),
      .judged_valid_i    (judged_valid),
      .judged_i          (judged),
      .read_scan_o       (read_scan),
      .read_o            (read_go),
      .read_out_o        (read_out),
      .read_done_i       (read_done),
      .write_o           (write_frame),
      .write_ready_i     (item_ready),
      .recorded_o        (recorded),
      .pin_o             (pin_frame),
      .pin_ready_i       (pin_ready),
      .pin_i             (pin_answer),
      .count_o           (count_frame)
  );

  weir_frame_reader scan_words (
      .clk_i    (clk_i),
      .rst_i    (rst_i),
      .start_i  (read_scan),
      .word_i   (scanning.meta.word),
      .length_i (scanning.meta.length_of),
      .address_o(scan_address),
      .data_i   (scan_buffer_word),
      .valid_o  (scan_word_valid),
      .ready_i  (scan_ready),
      .last_o   (),
      .data_o   (scan_word)
  );

  weir_frame_reader words (
      .clk_i    (clk_i),
      .rst_i    (rst_i),
      .start_i  (read_go),
      .word_i   (fate_meta.word),
      .length_i (fate_meta.length_of),
      .address_o(read_address),
      .data_i   (buffer_word),
      .valid_o  (word_valid),
      .ready_i  (word_ready),
      .last_o   (word_last),
      .data_o   (word)
  );

  always_comb begin
    word_ready = read_out_q ? egress_ready_i : record_ready;
    read_done = word_valid && word_ready && word_last;
    egress_frame = '0;
    if (read_out_q && word_valid) begin
      egress_frame.valid = 1'b1;
      egress_frame.kind = EGRESS_PASSED;
      egress_frame.number = fate_meta.number;
      egress_frame.last = word_last;
      egress_frame.bytes = word_last ? left_q[6:0] : 7'd64;
      egress_frame.data = word;
    end
    egress_o = egress_frame | egress_commands;
  end

  always_ff @(posedge clk_i) begin
    if (read_go) begin
      read_out_q <= read_out;
      left_q <= fate_meta.length_of;
    end else if (word_valid && word_ready) begin
      left_q <= left_q - 20'd64;
    end
  end

  weir_scanner #(
      .BYTES       (BYTES),
      .PARTITIONS  (PARTITIONS),
      .BLOOM_LOG2  (BLOOM_LOG2),
      .BUCKETS_LOG2(BUCKETS_OF_LOG2)
  ) scanner (
      .clk_i          (clk_i),
      .rst_i          (rst_i),
      .geometry_i     (geometry_i),
      .sets_i         (sets_i),
      .start_i        (scan_go),
      .empty_i        (!scanning.payload),
      .length_i       (scanning.meta.length_of),
      .context_i      (scan_context),
      .word_valid_i   (scan_word_valid),
      .word_ready_o   (scan_ready),
      .word_i         (scan_word),
      .hit_ready_i    (hit_ready),
      .hit_valid_o    (hit_valid),
      .hit_o          (hit),
      .facts_valid_o  (scanned),
      .behind_tail_o  (behind_tail),
      .alone_o        (alone),
      .write_bloom_i  (write_i && write_table_i == 4'd6),
      .write_exact_i  (write_i && write_table_i == 4'd7),
      .write_bank_i   (write_bank_i),
      .write_length_i (write_length_i),
      .write_part_i   (write_part_i),
      .write_address_i(write_address_i),
      .write_data_i   (write_data_i[127:0])
  );

  weir_message_facts messages (
      .clk_i       (clk_i),
      .rst_i       (rst_i),
      .start_i     (scan_go),
      .dns_i       (dns_armed[bank] && scanning.payload),
      .tls_i       (tls_armed_q[bank] && scanning.payload && scanning_parsed.tcp),
      .datagram_i  (!scanning_parsed.tcp),
      .word_i      (scanning.meta.word),
      .begin_i     (scan_context.start),
      .last_i      (scan_context.last),
      .tail_count_i(scanning.staged.continues ? scan_context.tail_count : '0),
      .tail_i      (scan_context.tail),
      .address_o   (message_address),
      .data_i      (message_word),
      .valid_o     (messages_valid),
      .facts_o     (message_facts)
  );

  // Messages are looked at where a guard of theirs leads anywhere.
  always_comb for (int unsigned b = 0; b < 2; b++) dns_armed[b] = dns_guards_q[b] != '0;
  always_ff @(posedge clk_i) begin
    if (write_i && write_table_i == 4'd3) begin
      unique case (write_address_i[5:0])
        6'(GUARD_DNS_POINTER_QUESTION): dns_guards_q[write_bank_i][0] <= write_data_i[63:32] != '0;
        6'(GUARD_DNS_ODD): dns_guards_q[write_bank_i][1] <= write_data_i[63:32] != '0;
        6'(GUARD_TLS_HANDSHAKE_SPANS): tls_armed_q[write_bank_i] <= write_data_i[63:32] != '0;
        default: ;
      endcase
    end
  end

  weir_classes #(
      .FOUR_LOG2(RANGES4_LOG2),
      .SIX_LOG2 (RANGES6_LOG2)
  ) classes (
      .clk_i           (clk_i),
      .rst_i           (rst_i),
      .valid_i         (classes_go),
      .bank_i          (classes_bank),
      .parsed_i        (lookup_parsed),
      .valid_o         (classes_valid),
      .addresses_o     (addresses),
      .ports_o         (ports),
      .write_bank_i    (write_bank_i),
      .write_port_i    (write_i && write_table_i == 4'd8),
      .write_boundary_i({write_i && write_table_i == 4'd11, write_i && write_table_i == 4'd9}),
      .write_class_i   ({write_i && write_table_i == 4'd12, write_i && write_table_i == 4'd10}),
      .write_address_i (write_address_i[15:0]),
      .write_data_i    (write_data_i[127:0])
  );

  weir_judge judge (
      .clk_i          (clk_i),
      .rst_i          (rst_i),
      .list_limit_i   (list_limit_i),
      .facts_valid_i  (facts_valid),
      .facts_ready_o  (facts_ready),
      .facts_i        (frame_facts),
      .hit_valid_i    (hit_valid),
      .hit_ready_o    (hit_ready),
      .hit_i          (hit),
      .fired_valid_i  (fired_valid),
      .fired_ready_o  (fired_ready),
      .fired_i        (fired),
      .valid_o        (judged_valid),
      .judged_o       (judged),
      .write_i        (write_i && write_table_i < 4'd6),
      .write_bank_i   (write_bank_i),
      .write_table_i  (write_table_i[2:0]),
      .write_part_i   (write_part_i[2:0]),
      .write_address_i(write_address_i),
      .write_data_i   (write_data_i)
  );

  weir_queue_writer #(
      .QUEUES_LOG2(QUEUES_LOG2)
  ) writer (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .config_i     (queues_i),
      .item_valid_i (write_request.valid),
      .item_ready_o (item_ready),
      .item_kind_i  (write_request.kind),
      .item_queue_i (write_request.queue_of[QUEUES_LOG2-1:0]),
      .item_body_i  (write_request.body),
      .item_length_i(write_request.length_of),
      .beat_valid_i (word_valid && !read_out_q),
      .beat_ready_o (record_ready),
      .beat_data_i  (word),
      .store_valid_o(store_valid_o),
      .store_ready_i(store_ready_i),
      .store_o      (store_o)
  );

  weir_counters counters (
      .clk_i     (clk_i),
      .rst_i     (rst_i),
      .count_i   (count),
      .counters_o(counters_o),
      .guards_o  (guard_counters_o)
  );

endmodule

`default_nettype wire
