// Literals, guards and the header table against the records.
//
// Function: for each frame, in this order, the records that its literal hits lead to (at most `list_entries` of them),
// those of its armed guards by number, and the header table; which held first, their scopes, and the guards that led to
// one (hw-sim/src/pipeline/judge.rs). Latency: 15 cycles and one per record asked. Throughput: one record per cycle in
// either half, one hit per cycle, eight cycles per frame more. Back-pressure: facts_ready_o, hit_ready_o, fired_ready_o.
//
// Two halves, a frame in each, with a copy of lists and records for either. The first asks what header table and hits lead
// to. The guards that fired come by themselves: text facts are known only when the payload has passed, hits are judged before;
// the second half goes on with the sums of the first while that takes the facts of the next frame.
//
// Of the header table only the rows are asked that admit the frame's classes and conditions (weir_header_rows), and that before the
// first hit can come; its first record that holds is kept apart, for it counts behind those of hits and guards.
//
//     facts ─► class rows (4) ────────────────────────┐
//        ├───► header rows ─► header table ─┐         │
//     hits ──► sequencer ─► lists ──────────┴► records ─► record_says ─► sums ─┐
//     guards ► sequencer ─► lists ───────────► records ─► record_says ─────────┴► sums ─► judged
//
// Of a guard's list eight entries are looked at in a cycle: transports, directions and port sets of their records lie beside the
// lists. What these do not admit is not asked, for then the record's lasting part does not hold.
//
// Sets are kept by class: one row says to which sets a class belongs, so that a frame reads four rows once, and a record
// only selects a bit of each.
`default_nettype none

module weir_judge
  import weir_contract_pkg::*;
  import weir_match_pkg::*;
  import weir_judge_pkg::*;
#(
    parameter int unsigned LISTS_LOG2 = 13,          // list entries
    parameter int unsigned RECORDS_LOG2 = 12,        // records
    parameter int unsigned PORT_CLASSES_LOG2 = 9,
    parameter int unsigned PORT_SETS = 320,
    parameter int unsigned ADDRESS_CLASSES_LOG2 = 11,
    parameter int unsigned ADDRESS_SETS = 1024
) (
    input  wire logic                  clk_i,
    input  wire logic                  rst_i,
    input  wire logic [1:0][31:0]      list_limit_i,      // by bank: most list entries of a frame
    input  wire logic                  facts_valid_i,
    output logic                       facts_ready_o,
    input  wire frame_facts_t          facts_i,
    input  wire logic                  hit_valid_i,       // a frame's hits, then its ending
    output logic                       hit_ready_o,
    input  wire hit_t                  hit_i,
    input  wire logic                  fired_valid_i,     // a frame's guards, taken behind its hits
    output logic                       fired_ready_o,
    input  wire logic [63:0]           fired_i,
    output logic                       valid_o,
    output judged_t                    judged_o,
    // Tables of a bank that is not in use.
    input  wire logic                  write_i,
    input  wire logic                  write_bank_i,
    input  wire logic [2:0]            write_table_i,     // 0 list, 1 record, 2 header, 3 guard, 4 port row, 5 address row
    input  wire logic [2:0]            write_part_i,      // of a row: 0 sets; 1, 2 header table by source, 3, 4 by destination;
                                                          // of the header table: 0 record; 1, 2 by condition;
                                                          // of the list: 0 entry; 1 summaries of a word of entries
    input  wire logic [23:0]           write_address_i,
    input  wire logic [1023:0]         write_data_i
);

  typedef enum logic [2:0] {
    IDLE   = 3'd0,
    ROWS   = 3'd1,
    HEADER = 3'd2,
    HITS   = 3'd3,
    LIST   = 3'd4,
    PASS   = 3'd5   // to the second half
  } state_e;

  typedef enum logic [2:0] {
    FREE   = 3'd0,
    FIRED  = 3'd1,
    GUARDS = 3'd2,
    WORD   = 3'd3,
    GUARD  = 3'd4,
    ENDING = 3'd5
  } second_e;

  // A record to ask, on its way through lists, records and the question.
  typedef struct packed {
    logic               valid;
    logic               header;   // from the header table, else from a hit
    logic signed [20:0] position; // of the hit
  } ask_t;

  // The same in the second half.
  typedef struct packed {
    logic       valid;
    logic       ending;  // of the frame
    logic [5:0] number;  // of the guard
  } ask_guard_t;

  state_e state_q, state_d;
  frame_facts_t facts_q, second_facts_q;  // the last question is two cycles old when the next frame's come
  logic [31:0] entries_q, entries_d, at_q, at_d, left_q, left_d;
  logic signed [20:0] position_q, position_d;
  logic limited_q, limited_d, scan_limit_q, scan_limit_d, pass;
  second_e second_q, second_d;
  logic [63:0] guards_q, guards_d, fired_q, fired_d, heard_q;
  logic [31:0] guard_at_q, guard_at_d, guard_left_q, guard_left_d;
  logic fresh_q, fresh_d;  // of this word nothing was asked yet
  logic [LIST_WORD-1:0] admitted, todo_q, todo, rest;
  logic [LIST_WORD_LOG2-1:0] entry;
  logic [5:0] number_q, number_d;
  logic second_limited_q, second_scan_limit_q;
  logic [1:0][PORT_SETS-1:0] ports_q, second_ports_q;  // source, destination
  list_range_t [1:0][GUARDS_MAX-1:0] guard_lists_q;
  logic [1:0][63:0] armed_q;
  logic bank, second_bank, take_facts, rows_q, row_valid, rows_done;
  logic [10:0] row;
  ask_t ask, ask_1_q, ask_2_q, ask_3_q;
  ask_guard_t ask_guard, guard_1_q, guard_2_q, guard_3_q;

  assign bank = facts_q.bank;
  assign second_bank = second_facts_q.bank;
  // Every question of the frame was answered, and what the second half asked before.
  assign pass = state_q == PASS && !ask_1_q.valid && !ask_2_q.valid && second_q == FREE && !guard_1_q.ending &&
                !guard_2_q.ending;

  // ---- what is asked next
  always_comb begin
    state_d = state_q;
    entries_d = entries_q;
    at_d = at_q;
    left_d = left_q;
    position_d = position_q;
    limited_d = limited_q;
    scan_limit_d = scan_limit_q;
    facts_ready_o = 1'b0;
    hit_ready_o = 1'b0;
    take_facts = 1'b0;
    ask = '0;
    ask.position = position_q;
    unique case (state_q)
      IDLE: begin
        facts_ready_o = 1'b1;
        if (facts_valid_i) begin
          take_facts = 1'b1;
          entries_d = '0;
          limited_d = 1'b0;
          state_d = ROWS;
        end
      end
      ROWS: state_d = HEADER;
      HEADER: begin
        ask.valid = row_valid;
        ask.header = 1'b1;
        if (rows_done) state_d = HITS;
      end
      HITS: begin
        hit_ready_o = 1'b1;
        if (hit_valid_i) begin
          if (hit_i.ending) begin
            scan_limit_d = hit_i.total.limit;
            state_d = PASS;
          end else if (!limited_q) begin
            at_d = hit_i.list_start;
            left_d = 32'(hit_i.list_count);
            position_d = hit_i.position;
            if (hit_i.list_count != '0) state_d = LIST;
          end
        end
      end
      LIST: begin
        if (entries_q >= list_limit_i[bank]) begin
          // What is left of this frame's hits is passed over.
          limited_d = 1'b1;
          state_d = HITS;
        end else begin
          ask.valid = 1'b1;
          entries_d = entries_q + 32'd1;
          at_d = at_q + 32'd1;
          left_d = left_q - 32'd1;
          if (left_q == 32'd1) state_d = HITS;
        end
      end
      default: if (pass) state_d = IDLE;
    endcase
  end

  always_comb begin
    second_d = second_q;
    guards_d = guards_q;
    fired_d = fired_q;
    guard_at_d = guard_at_q;
    guard_left_d = guard_left_q;
    number_d = number_q;
    fresh_d = 1'b1;
    fired_ready_o = 1'b0;
    ask_guard = '0;
    ask_guard.number = number_q;
    unique case (second_q)
      FREE: if (pass) second_d = FIRED;
      FIRED: begin
        fired_ready_o = 1'b1;
        if (fired_valid_i) begin
          fired_d = fired_i;
          fired_d[GUARD_CANDIDATE_LIMIT] = fired_i[GUARD_CANDIDATE_LIMIT] || second_scan_limit_q;
          fired_d[GUARD_LIST_LIMIT] = fired_i[GUARD_LIST_LIMIT] || second_limited_q;
          guards_d = fired_d & armed_q[second_bank];
          second_d = GUARDS;
        end
      end
      GUARDS: begin
        number_d = '0;
        for (int unsigned n = 64; n > 0; n--) if (guards_q[n-1]) number_d = 6'(n - 1);
        if (guards_q == '0) begin
          second_d = ENDING;
        end else begin
          guards_d[number_d] = 1'b0;
          guard_at_d = guard_lists_q[second_bank][number_d].start;
          guard_left_d = guard_lists_q[second_bank][number_d].count;
          second_d = WORD;
        end
      end
      WORD: second_d = GUARD;
      GUARD: begin
        ask_guard.valid = todo != '0;
        fresh_d = rest == '0;
        if (rest == '0) begin
          guard_at_d = {guard_at_q[31:LIST_WORD_LOG2] + (32 - LIST_WORD_LOG2)'(1), LIST_WORD_LOG2'(0)};
          guard_left_d = guard_left_q - (guard_at_d - guard_at_q);
          if (guard_left_q <= guard_at_d - guard_at_q) second_d = GUARDS;
        end
      end
      default: begin
        ask_guard.ending = 1'b1;
        second_d = FREE;
      end
    endcase
  end

  // ---- of the word at hand, which entries are left to ask
  list_summary_t [LIST_WORD-1:0] summaries;

  always_comb begin
    for (int unsigned n = 0; n < LIST_WORD; n++) begin
      admitted[n] = n >= 32'(guard_at_q[LIST_WORD_LOG2-1:0]) &&
                    n - 32'(guard_at_q[LIST_WORD_LOG2-1:0]) < guard_left_q &&
                    (summaries[n].transports & second_facts_q.transport[6:0]) != '0 &&
                    (summaries[n].directions & second_facts_q.directions[1:0]) != '0 &&
                    second_ports_q[0][($clog2(PORT_SETS))'(summaries[n].source_ports)] &&
                    second_ports_q[1][($clog2(PORT_SETS))'(summaries[n].destination_ports)];
    end
    todo = fresh_q ? admitted : todo_q;
    entry = '0;
    for (int unsigned n = LIST_WORD; n > 0; n--) if (todo[n-1]) entry = LIST_WORD_LOG2'(n - 1);
    rest = todo;
    rest[entry] = 1'b0;
  end

  weir_ram_1r1w #(
      .ADDRESS_BITS(LISTS_LOG2 - LIST_WORD_LOG2 + 1),
      .DATA_BITS   (LIST_WORD * $bits(list_summary_t))
  ) list_summaries (
      .clk_i          (clk_i),
      .write_i        (write_i && write_table_i == 3'd0 && write_part_i != '0),
      .write_address_i({write_bank_i, write_address_i[LISTS_LOG2-LIST_WORD_LOG2-1:0]}),
      .write_data_i   (write_data_i[LIST_WORD*$bits(list_summary_t)-1:0]),
      // While a word is looked at, the next one is read.
      .read_address_i ({second_bank, guard_at_q[LISTS_LOG2-1:LIST_WORD_LOG2] +
                                     (LISTS_LOG2 - LIST_WORD_LOG2)'(second_q == GUARD)}),
      .read_data_o    (summaries)
  );

  always_ff @(posedge clk_i) begin
    guards_q <= guards_d;
    fresh_q <= fresh_d;
    todo_q <= rest;
    fired_q <= fired_d;
    entries_q <= entries_d;
    at_q <= at_d;
    left_q <= left_d;
    guard_at_q <= guard_at_d;
    guard_left_q <= guard_left_d;
    position_q <= position_d;
    limited_q <= limited_d;
    scan_limit_q <= scan_limit_d;
    number_q <= number_d;
    if (take_facts) facts_q <= facts_i;
    if (pass) begin
      second_facts_q <= facts_q;
      second_limited_q <= limited_q;
      second_scan_limit_q <= scan_limit_q;
    end
    if (second_q == ENDING) heard_q <= fired_q;
    if (write_i && write_table_i == 3'd3) begin
      guard_lists_q[write_bank_i][write_address_i[5:0]] <= write_data_i[63:0];
      armed_q[write_bank_i][write_address_i[5:0]] <= write_data_i[63:32] != '0;
    end
    // Tables outlive a reset of the frame path; a bank that was never loaded is never in use.
    if (rst_i) begin
      state_q  <= IDLE;
      second_q <= FREE;
    end else begin
      state_q  <= state_d;
      second_q <= second_d;
    end
  end

  // ---- lists and header table, then records
  logic [RECORDS_LOG2-1:0] listed, headed, id, id_2_q, id_3_q;
  logic [RECORDS_LOG2-1:0] guard_id, guard_id_2_q, guard_id_3_q;
  // Behind what is asked stands what only explains.
  localparam int unsigned RECORD_BITS = 8 * 76;
  localparam int unsigned HEADER_PIECE = 720;
  logic write_header, write_ports, write_addresses;
  assign write_header = write_i && write_table_i == 3'd2;
  assign write_ports = write_i && write_table_i == 3'd4;
  assign write_addresses = write_i && write_table_i == 3'd5;
  logic [RECORD_BITS-1:0] record_bits, guard_bits;
  record_t record_of, guard_record;
  logic bank_1_q, second_bank_1_q;
  assign record_of = record_t'(768'(record_bits));
  assign guard_record = record_t'(768'(guard_bits));

  weir_ram_1r1w #(
      .ADDRESS_BITS(LISTS_LOG2 + 1),
      .DATA_BITS   (RECORDS_LOG2)
  ) lists (
      .clk_i          (clk_i),
      .write_i        (write_i && write_table_i == 3'd0 && write_part_i == '0),
      .write_address_i({write_bank_i, write_address_i[LISTS_LOG2-1:0]}),
      .write_data_i   (write_data_i[RECORDS_LOG2-1:0]),
      .read_address_i ({bank, at_q[LISTS_LOG2-1:0]}),
      .read_data_o    (listed)
  );

  weir_ram_1r1w #(
      .ADDRESS_BITS(LISTS_LOG2 + 1),
      .DATA_BITS   (RECORDS_LOG2)
  ) guard_lists (
      .clk_i          (clk_i),
      .write_i        (write_i && write_table_i == 3'd0 && write_part_i == '0),
      .write_address_i({write_bank_i, write_address_i[LISTS_LOG2-1:0]}),
      .write_data_i   (write_data_i[RECORDS_LOG2-1:0]),
      .read_address_i ({second_bank, guard_at_q[LISTS_LOG2-1:LIST_WORD_LOG2], entry}),
      .read_data_o    (guard_id)
  );

  weir_header_rows #(
      .PORT_CLASSES_LOG2   (PORT_CLASSES_LOG2),
      .ADDRESS_CLASSES_LOG2(ADDRESS_CLASSES_LOG2)
  ) rows (
      .clk_i              (clk_i),
      .rst_i              (rst_i),
      .start_i            (state_q == ROWS),
      .facts_i            (facts_q),
      .valid_o            (row_valid),
      .row_o              (row),
      .done_o             (rows_done),
      .write_port_i       (write_ports && write_part_i != '0),
      .write_address_row_i(write_addresses && write_part_i != '0),
      .write_condition_i  (write_header && write_part_i != '0),
      .write_bank_i       (write_bank_i),
      .write_end_i        (write_part_i >= 3'd3),
      .write_piece_i      (!write_part_i[0]),
      .write_class_i      (write_address_i[15:0]),
      .write_data_i       (write_data_i[HEADER_PIECE-1:0])
  );

  weir_ram_1r1w #(
      .ADDRESS_BITS(12),
      .DATA_BITS   (RECORDS_LOG2)
  ) header (
      .clk_i          (clk_i),
      .write_i        (write_header && write_part_i == '0),
      .write_address_i({write_bank_i, write_address_i[10:0]}),
      .write_data_i   (write_data_i[RECORDS_LOG2-1:0]),
      .read_address_i ({bank, row}),
      .read_data_o    (headed)
  );

  assign id = ask_1_q.header ? headed : listed;

  weir_ram_1r1w #(
      .ADDRESS_BITS(RECORDS_LOG2 + 1),
      .DATA_BITS   (RECORD_BITS)
  ) records (
      .clk_i          (clk_i),
      .write_i        (write_i && write_table_i == 3'd1),
      .write_address_i({write_bank_i, write_address_i[RECORDS_LOG2-1:0]}),
      .write_data_i   (write_data_i[RECORD_BITS-1:0]),
      .read_address_i ({bank_1_q, id}),
      .read_data_o    (record_bits)
  );

  weir_ram_1r1w #(
      .ADDRESS_BITS(RECORDS_LOG2 + 1),
      .DATA_BITS   (RECORD_BITS)
  ) guard_records (
      .clk_i          (clk_i),
      .write_i        (write_i && write_table_i == 3'd1),
      .write_address_i({write_bank_i, write_address_i[RECORDS_LOG2-1:0]}),
      .write_data_i   (write_data_i[RECORD_BITS-1:0]),
      .read_address_i ({second_bank_1_q, guard_id}),
      .read_data_o    (guard_bits)
  );

  // ---- to which sets the frame's classes belong
  logic [1:0][PORT_SETS-1:0] port_rows;
  logic [1:0][ADDRESS_SETS-1:0] address_rows;
  logic [1:0][ADDRESS_SETS-1:0] addresses_q, second_addresses_q;

  for (genvar end_of = 0; end_of < 2; end_of++) begin : g_end
    logic [15:0] port_class, address_class;
    assign port_class = end_of == 0 ? facts_q.source_port : facts_q.destination_port;
    assign address_class = end_of == 0 ? facts_q.source_address : facts_q.destination_address;

    weir_ram_1r1w #(
        .ADDRESS_BITS(PORT_CLASSES_LOG2 + 1),
        .DATA_BITS   (PORT_SETS)
    ) port_sets (
        .clk_i          (clk_i),
        .write_i        (write_ports && write_part_i == '0),
        .write_address_i({write_bank_i, write_address_i[PORT_CLASSES_LOG2-1:0]}),
        .write_data_i   (write_data_i[PORT_SETS-1:0]),
        .read_address_i ({bank, port_class[PORT_CLASSES_LOG2-1:0]}),
        .read_data_o    (port_rows[end_of])
    );

    weir_ram_1r1w #(
        .ADDRESS_BITS(ADDRESS_CLASSES_LOG2 + 1),
        .DATA_BITS   (ADDRESS_SETS)
    ) address_sets (
        .clk_i          (clk_i),
        .write_i        (write_addresses && write_part_i == '0),
        .write_address_i({write_bank_i, write_address_i[ADDRESS_CLASSES_LOG2-1:0]}),
        .write_data_i   (write_data_i[ADDRESS_SETS-1:0]),
        .read_address_i ({bank, address_class[ADDRESS_CLASSES_LOG2-1:0]}),
        .read_data_o    (address_rows[end_of])
    );
  end

  always_ff @(posedge clk_i) begin
    rows_q <= state_q == ROWS;
    if (rows_q) begin
      ports_q <= port_rows;
      addresses_q <= address_rows;
    end
    if (pass) begin
      second_ports_q <= ports_q;
      second_addresses_q <= addresses_q;
    end
  end

  // ---- the question
  said_t said, said_q, guard_said, guard_said_q;
  logic [7:0] scopes_q, guard_scopes_q;

  function automatic logic members(input record_t r, input logic [1:0][PORT_SETS-1:0] ports,
                                   input logic [1:0][ADDRESS_SETS-1:0] addresses);
    return ports[0][($clog2(PORT_SETS))'(r.source_ports)] && ports[1][($clog2(PORT_SETS))'(r.destination_ports)] &&
           addresses[0][($clog2(ADDRESS_SETS))'(r.source_addresses)] &&
           addresses[1][($clog2(ADDRESS_SETS))'(r.destination_addresses)];
  endfunction

  always_comb begin
    said = record_says(record_of, facts_q, members(record_of, ports_q, addresses_q), !ask_2_q.header,
                       ask_2_q.position);
    guard_said = record_says(guard_record, second_facts_q,
                             members(guard_record, second_ports_q, second_addresses_q), 1'b0, '0);
  end

  always_ff @(posedge clk_i) begin
    ask_1_q <= ask;
    ask_2_q <= ask_1_q;
    ask_3_q <= ask_2_q;
    guard_1_q <= ask_guard;
    guard_2_q <= guard_1_q;
    guard_3_q <= guard_2_q;
    bank_1_q <= bank;
    second_bank_1_q <= second_bank;
    id_2_q <= id;
    id_3_q <= id_2_q;
    guard_id_2_q <= guard_id;
    guard_id_3_q <= guard_id_2_q;
    said_q <= said;
    guard_said_q <= guard_said;
    scopes_q <= record_of.scopes;
    guard_scopes_q <= guard_record.scopes;
    if (rst_i) begin
      ask_1_q <= '0;
      ask_2_q <= '0;
      ask_3_q <= '0;
      guard_1_q <= '0;
      guard_2_q <= '0;
      guard_3_q <= '0;
    end
  end

  // ---- sums
  judged_t sum_q, sum, second_sum_q, second_sum;
  logic [31:0] header_first_q, header_first, second_first_q;
  logic [63:0] wanted_q, wanted;  // guards with a record that the lasting facts allow
  localparam judged_t NONE_HELD = '{first: RECORD_NONE, default: '0};

  always_comb begin
    sum = sum_q;
    header_first = header_first_q;
    if (ask_3_q.valid && said_q.holds) begin
      sum.held = sum_q.held + 32'd1;
      sum.scopes = sum_q.scopes | scopes_q;
      if (ask_3_q.header) begin
        sum.by_header = 1'b1;
        if (header_first_q == RECORD_NONE) header_first = 32'(id_3_q);
      end else begin
        sum.by_literal = 1'b1;
        if (sum_q.first == RECORD_NONE) sum.first = 32'(id_3_q);
      end
    end
    second_sum = second_sum_q;
    wanted = wanted_q;
    if (guard_3_q.valid) begin
      if (guard_said_q.lasting) wanted[guard_3_q.number] = 1'b1;
      if (guard_said_q.holds) begin
        second_sum.held = second_sum_q.held + 32'd1;
        second_sum.scopes = second_sum_q.scopes | guard_scopes_q;
        if (second_sum_q.first == RECORD_NONE) second_sum.first = 32'(guard_id_3_q);
        second_sum.guards[guard_3_q.number] = 1'b1;
        second_sum.by_guard = 1'b1;
      end
    end
    if (guard_3_q.ending) begin
      if (second_sum_q.first == RECORD_NONE) second_sum.first = second_first_q;
      second_sum.heard = heard_q & (wanted_q | ~PAYLOAD_FACTS);
    end
  end

  always_ff @(posedge clk_i) begin
    judged_o <= second_sum;
    second_sum_q <= second_sum;
    wanted_q <= wanted;
    sum_q <= sum;
    header_first_q <= header_first;
    if (pass) begin
      second_sum_q <= sum;
      second_sum_q.entries <= entries_q;
      second_first_q <= header_first;
      wanted_q <= '0;
    end
    if (rst_i || pass) begin
      sum_q <= NONE_HELD;
      header_first_q <= RECORD_NONE;
    end
    if (rst_i) valid_o <= 1'b0;
    else valid_o <= guard_3_q.ending;
  end

  if (PORT_SETS > 1024 || ADDRESS_SETS > 1024) begin : g_check
    $error("a row of sets is written at once and has at most 1024 bits");
  end

endmodule

`default_nettype wire
