// The blocks of a table image: what they hold is checked, or written into a bank.
//
// Function: hw-sim's tables/load.rs, block by block in its order, so that the first thing that is wrong is the one that is told;
// what does not fit the memories is told behind the geometry. A run either checks and writes nothing, or checks once more what
// passes by (checksums, indices and values, not the filter's entries) and writes. Latency and throughput of a run: a word per
// cycle (2 bytes of PortClasses, 4 of ids, 8 of Bloom bits, matrices and prefixes, 16 of everything else), 16 cycles a block;
// checking, 3 and one per Bloom partition for each entry of the filter in use, 4 for each list entry before a guard's record
// that always holds; prefixes as weir_load_ranges, writing, matrices as weir_load_transpose. Back-pressure: host memory's.
`default_nettype none

module weir_load_blocks
  import weir_contract_pkg::*;
  import weir_match_pkg::*;
  import weir_load_pkg::*;
#(
    parameter int unsigned LISTS_LOG2 = 13,
    parameter int unsigned RECORDS_LOG2 = 12,
    parameter int unsigned HEADER = 1440,
    parameter int unsigned PORT_CLASSES_LOG2 = 9,
    parameter int unsigned PORT_SETS = 320,
    parameter int unsigned ADDRESS_CLASSES_LOG2 = 11,
    parameter int unsigned ADDRESS_SETS = 1024,
    parameter logic [LENGTHS-1:0][3:0] PARTITIONS = {4'd3, 4'd0, 4'd0, 4'd2, 4'd2},
    parameter logic [LENGTHS-1:0][7:0] BLOOM_LOG2 = {8'd19, 8'd15, 8'd15, 8'd17, 8'd19},
    parameter logic [LENGTHS-1:0][7:0] BUCKETS_LOG2 = {8'd14, 8'd11, 8'd11, 8'd12, 8'd14},
    parameter int unsigned WAYS = 4,
    parameter int unsigned FOUR_LOG2 = 15,
    parameter int unsigned SIX_LOG2 = 8,
    parameter int unsigned SCRATCH_LOG2 = 15    // words of 64 bits: a length's Bloom partitions, or a matrix
) (
    input  wire logic          clk_i,
    input  wire logic          rst_i,
    input  wire logic          start_i,
    input  wire logic          writing_i,       // constant while it works
    output logic               done_o,          // for one cycle
    output refusal_t           refusal_o,       // then
    output table_write_t       write_o,         // without bank
    // where a block is
    output logic               find_o,          // for one cycle
    output logic [15:0]        find_kind_o,
    input  wire logic          found_valid_i,
    input  wire found_t        found_i,
    // reader
    output read_command_t      command_o,
    input  wire read_result_t  result_i,
    input  wire logic          word_valid_i,
    output logic               word_ready_o,
    input  wire logic [127:0]  word_i
);

  localparam int unsigned SETS_LOG2 = $clog2(ADDRESS_SETS > PORT_SETS ? ADDRESS_SETS : PORT_SETS);
  localparam int unsigned HEADER_LOG2 = $clog2(HEADER);
  localparam int unsigned ENTRY_BYTES = 8;  // of the geometry of a window length

  typedef enum logic [3:0] {
    GEOMETRY,
    LISTS,
    HEADS,
    RECORDS,
    HASH,
    BLOOM,
    EXACT,
    GUARDS,
    LIMITS,
    PARAMETERS,
    PORTS,
    FOUR,
    SIX,
    PORT_ROWS,
    ADDRESS_ROWS
  } step_e;

  typedef enum logic [3:0] {
    IDLE,
    STEP,
    FIND,
    READ,
    REST,       // what was read is being looked at still
    JUDGE,
    GUARD,      // does each guard lead to a record that always holds
    GUARD_AT,
    GUARD_ID,
    GUARD_SAYS,
    RANGES,
    TURN,
    NEXT
  } state_e;

  typedef enum logic [1:0] {FREE, HASHED, TEST, FILL} exact_e;

  // Of a record: what guards and the header table ask.
  typedef struct packed {
    logic                      holds;      // is_always
    logic                      rests;      // is_always_unless_encrypted
    logic [1:0][SETS_LOG2-1:0] addresses;  // source, destination
    logic [1:0][SETS_LOG2-1:0] ports;
  } info_t;

  step_e step_q;
  state_e state_q;
  logic [2:0] length_q;
  found_t found_q;
  refusal_t refuse, wrong, wrong_q;
  geometry_t geometry_q;
  logic [31:0] geometry_at_q, hash_at_q;
  logic [LENGTHS-1:0][63:0] multipliers_q;
  logic [23:0] index_q;
  logic take, asked_q, over, wait_q;
  read_result_t result_q;
  table_write_t write, write_q;

  length_geometry_t shape;
  assign shape = geometry_q.lengths[length_q];

  // ---- what a step reads
  logic [15:0] kind;
  logic [39:0] expected;
  logic [31:0] rows, columns;
  logic [2:0] word_log2;
  logic [15:0] words_of_row;
  logic [63:0] beyond_columns;  // bits of a row's last word that are no class

  assign rows = step_q == PORT_ROWS ? geometry_q.port_sets : geometry_q.address_sets;
  assign columns = step_q == PORT_ROWS ? geometry_q.port_classes : geometry_q.address_classes;
  assign words_of_row = 16'((columns + 32'd63) >> 6);
  assign beyond_columns = index_q + 24'd1 == 24'(words_of_row) && columns[5:0] != '0 ? ~64'd0 << columns[5:0] : '0;

  always_comb begin
    kind = '0;
    expected = '0;
    word_log2 = 3'd4;
    unique case (step_q)
      GEOMETRY: begin
        kind = BLOCK_TYPE_GEOMETRY;
        expected = 40'(GEOMETRY_BYTES);
      end
      LISTS: begin
        kind = BLOCK_TYPE_LISTS;
        expected = 40'(geometry_q.list_entries) << 2;
        word_log2 = 3'd2;
      end
      HEADS: begin
        kind = BLOCK_TYPE_HEADER_TABLE;
        expected = 40'(geometry_q.header_entries) << 2;
        word_log2 = 3'd2;
      end
      RECORDS: begin
        kind = BLOCK_TYPE_RECORDS;
        expected = 40'(geometry_q.records) * 40'(RECORD_BYTES);
      end
      HASH: begin
        kind = BLOCK_TYPE_HASH;
        expected = 40'(HASH_CONSTANTS_BYTES);
        word_log2 = 3'd3;
      end
      BLOOM: begin
        kind = BLOCK_TYPE_BLOOM4 + 16'(length_q);
        expected = (40'(shape.bloom_partitions) << shape.bloom_bits_log2) >> 3;
        word_log2 = 3'd3;
      end
      EXACT: begin
        kind = BLOCK_TYPE_EXACT4 + 16'(length_q);
        if (shape.bloom_partitions != '0) begin
          expected = 40'(shape.exact_ways) << (shape.exact_buckets_log2 + 8'd4);
        end
      end
      GUARDS: begin
        kind = BLOCK_TYPE_GUARD_TABLE;
        expected = 40'(GUARDS_MAX) * 40'(LIST_RANGE_BYTES);
        word_log2 = 3'd3;
      end
      LIMITS: begin
        kind = BLOCK_TYPE_LIMITS;
        expected = 40'(LIMITS_BYTES);
      end
      PARAMETERS: begin
        kind = BLOCK_TYPE_GUARD_PARAMETERS;
        expected = 40'(GUARD_PARAMETERS_BYTES);
      end
      PORTS: begin
        kind = BLOCK_TYPE_PORT_CLASSES;
        expected = 40'd1 << 17;
        word_log2 = 3'd1;
      end
      FOUR: begin
        kind = BLOCK_TYPE_ADDRESS_CLASSES_V4;
        expected = 40'(geometry_q.prefixes_v4) * 40'(ADDRESS_PREFIX_V4_BYTES);
        word_log2 = 3'd3;
      end
      SIX: begin
        kind = BLOCK_TYPE_ADDRESS_CLASSES_V6;
        expected = 40'(geometry_q.prefixes_v6) * 40'(ADDRESS_PREFIX_V6_BYTES);
        word_log2 = 3'd2;
      end
      default: begin
        kind = step_q == PORT_ROWS ? BLOCK_TYPE_PORT_SETS : BLOCK_TYPE_ADDRESS_SETS;
        expected = 40'(rows) * 40'(words_of_row) << 3;
        word_log2 = 3'd3;
      end
    endcase
  end

  // ---- what does not fit; what the contract does not allow at all is told where the model tells it
  logic fits;
  always_comb begin
    fits = geometry_q.list_entries <= 32'(1 << LISTS_LOG2) && geometry_q.records <= 32'(1 << RECORDS_LOG2) &&
           geometry_q.header_entries <= 32'(HEADER) &&
           (geometry_q.port_classes <= 32'(1 << PORT_CLASSES_LOG2) || geometry_q.port_classes > 32'h1_0000) &&
           (geometry_q.port_sets <= 32'(PORT_SETS) || geometry_q.port_sets > 32'h1_0000) &&
           (geometry_q.address_classes <= 32'(1 << ADDRESS_CLASSES_LOG2) ||
            geometry_q.address_classes > 32'h1_0000) &&
           (geometry_q.address_sets <= 32'(ADDRESS_SETS) || geometry_q.address_sets > 32'h1_0000);
    for (int unsigned n = 0; n < LENGTHS; n++) begin
      length_geometry_t g;
      g = geometry_q.lengths[n];
      if (g.bloom_partitions != '0 && allowed(g) &&
          (g.bloom_partitions > 8'(PARTITIONS[n]) || g.bloom_bits_log2 > BLOOM_LOG2[n] ||
           g.exact_buckets_log2 > BUCKETS_LOG2[n] || g.exact_ways > 8'(WAYS))) begin
        fits = 1'b0;
      end
    end
  end

  function automatic logic allowed(input length_geometry_t g);
    return g.bloom_partitions <= 8'(BLOOM_PARTITIONS_MAX) && g.bloom_bits_log2 >= 8'd10 &&
           g.bloom_bits_log2 <= 8'd24 && g.exact_buckets_log2 <= 8'd24 && g.exact_ways >= 8'd1 &&
           g.exact_ways <= 8'd16;
  endfunction

  // ---- six words of 16 bytes together: a record, the geometry, halves of the parameters
  logic [767:0] six_q;
  logic [2:0] six_count_q;
  logic six_valid_q;
  logic [15:0] six_index_q;
  record_t record_of;
  info_t info_of;

  assign record_of = six_q;
  always_comb begin
    info_of.holds = unconditional(record_of) && record_of.scopes[SCOPES_ALWAYS_BIT];
    info_of.rests = unconditional(record_of) &&
                    (record_of.scopes[SCOPES_ALWAYS_BIT] || record_of.scopes[SCOPES_PACKET_BIT]);
    info_of.ports = {SETS_LOG2'(record_of.destination_ports), SETS_LOG2'(record_of.source_ports)};
    info_of.addresses = {SETS_LOG2'(record_of.destination_addresses), SETS_LOG2'(record_of.source_addresses)};
  end

  // ---- memories of what is asked across blocks
  logic [RECORDS_LOG2-1:0] listed, headed;
  logic [RECORDS_LOG2-1:0] info_at;
  logic [LISTS_LOG2-1:0] guard_at_q;
  logic [HEADER_LOG2-1:0] turn_record;
  info_t info;
  list_range_t guard;
  logic [5:0] guard_q;
  logic [31:0] guard_left_q;

  weir_ram_1r1w #(
      .ADDRESS_BITS(LISTS_LOG2),
      .DATA_BITS   (RECORDS_LOG2)
  ) lists (
      .clk_i          (clk_i),
      .write_i        (take && step_q == LISTS),
      .write_address_i(index_q[LISTS_LOG2-1:0]),
      .write_data_i   (word_i[RECORDS_LOG2-1:0]),
      .read_address_i (guard_at_q),
      .read_data_o    (listed)
  );

  weir_ram_1r1w #(
      .ADDRESS_BITS(HEADER_LOG2),
      .DATA_BITS   (RECORDS_LOG2)
  ) heads (
      .clk_i          (clk_i),
      .write_i        (take && step_q == HEADS),
      .write_address_i(index_q[HEADER_LOG2-1:0]),
      .write_data_i   (word_i[RECORDS_LOG2-1:0]),
      .read_address_i (turn_record),
      .read_data_o    (headed)
  );

  assign info_at = state_q == TURN ? headed : listed;

  weir_ram_1r1w #(
      .ADDRESS_BITS(RECORDS_LOG2),
      .DATA_BITS   ($bits(info_t))
  ) infos (
      .clk_i          (clk_i),
      .write_i        (six_valid_q && step_q == RECORDS),
      .write_address_i(six_index_q[RECORDS_LOG2-1:0]),
      .write_data_i   (info_of),
      .read_address_i (info_at),
      .read_data_o    (info)
  );

  weir_ram_1r1w #(
      .ADDRESS_BITS(6),
      .DATA_BITS   (64)
  ) guards (
      .clk_i          (clk_i),
      .write_i        (take && step_q == GUARDS),
      .write_address_i(index_q[5:0]),
      .write_data_i   (word_i[63:0]),
      .read_address_i (guard_q),
      .read_data_o    (guard)
  );

  // ---- Bloom partitions of the length at hand, or the matrix at hand
  logic [SCRATCH_LOG2-1:0] scratch_at, turn_at;
  logic [63:0] scratch;
  logic matrix;
  assign matrix = step_q == PORT_ROWS || step_q == ADDRESS_ROWS;

  weir_ram_1r1w #(
      .ADDRESS_BITS(SCRATCH_LOG2),
      .DATA_BITS   (64)
  ) scratches (
      .clk_i          (clk_i),
      .write_i        (take && (step_q == BLOOM || matrix)),
      .write_address_i(index_q[SCRATCH_LOG2-1:0]),
      .write_data_i   (word_i[63:0]),
      .read_address_i (scratch_at),
      .read_data_o    (scratch)
  );

  // ---- an entry of the filter: every window that equals it finds it
  exact_e exact_q;
  exact_entry_t entry_q, entry_in;
  logic [31:0] used_q, entry_at_q;
  logic [23:0] bucket_q, entry_bucket_q;
  logic [7:0] way_q, fill_way_q;
  logic last_way, canonical, canonical_q, holds_q, entry_bad, misplaced;
  logic [63:0] middle, middle_q;
  logic [23:0] prefix, prefix_q, bucket_mask;
  logic [7:0][70:0] products;
  logic [126:0] first_product;
  logic [2:0] test_q;
  logic [23:0] bloom_bit;
  logic [5:0] bit_q;

  assign entry_in = word_i;
  assign last_way = way_q + 8'd1 == shape.exact_ways;
  assign bucket_mask = 24'((32'd1 << shape.exact_buckets_log2) - 32'd1);
  always_comb begin
    logic [63:0] folded;
    folded = fold_word(entry_q.value);
    canonical = entry_q.length == 8'(length_q) + 8'(SHORTEST);
    for (int unsigned n = 0; n < 8; n++) begin
      if (!entry_q.case_mask[n] && entry_q.value[n*8+:8] != folded[n*8+:8]) canonical = 1'b0;
      if (8'(n) >= 8'(length_q) + 8'(SHORTEST) && entry_q.value[n*8+:8] != '0) canonical = 1'b0;
      products[n] = byte_product(folded[n*8+:8], multipliers_q[length_q]);
    end
    middle = middle_of(products, length_q);
    first_product = '0;
    for (int unsigned n = 0; n < SHORTEST; n++) first_product = first_product ^ (127'(products[n]) << (8 * n));
    prefix = 24'(first_product >> PREFIX_SHIFT);

    // Bit of the partition that is asked now; the answer to the one before is here.
    bloom_bit = test_q == 3'd0 ? prefix_q : 24'(middle_q >> BLOOM_SHIFT[test_q[1:0]]);
    bloom_bit = bloom_bit & 24'((32'd1 << shape.bloom_bits_log2) - 32'd1);
    misplaced = (24'(middle_q >> BUCKET_SHIFT[0]) & bucket_mask) != entry_bucket_q &&
                (24'(middle_q >> BUCKET_SHIFT[1]) & bucket_mask) != entry_bucket_q;
    scratch_at = SCRATCH_LOG2'((32'(test_q) << (shape.bloom_bits_log2 - 8'd6)) + 32'(bloom_bit[23:6]));
    if (state_q == TURN) scratch_at = turn_at;
    entry_bad = exact_q == TEST && 8'(test_q) == shape.bloom_partitions &&
                (!canonical_q || misplaced || !holds_q || !scratch[bit_q]);
  end

  // ---- a prefix
  typedef struct packed {
    logic [15:0]  class_of;
    logic [7:0]   length_of;
    logic [127:0] address;
  } prefix_t;
  prefix_t prefix_in, net_q, before_q;
  address_prefix_v4_t four;
  logic [159:0] parts_q;
  logic [2:0] part_q;
  logic net_valid_q, net_first_q, net_bad, net_beyond, ranges_ready, ranges_done, ranges_over, ranges_start;
  logic [31:0] net_at_q, net_next_q;
  logic [127:0] host;
  table_write_t ranges_write, turn_write;
  logic turn_done, end_sent_q, turn_sent_q;

  assign four = word_i[63:0];
  always_comb begin
    logic [159:0] parts;
    parts = {word_i[31:0], parts_q[159:32]};
    if (step_q == FOUR) begin
      prefix_in = '{class_of: four.class_, length_of: four.length, address: 128'(four.address)};
    end else begin
      prefix_in.class_of = parts[159:144];
      prefix_in.length_of = parts[135:128];
      for (int unsigned n = 0; n < 16; n++) prefix_in.address[(15-n)*8+:8] = parts[n*8+:8];
    end
    host = (step_q == FOUR ? 128'(32'hffff_ffff) : '1) >> net_q.length_of;
    net_bad = net_q.length_of > (step_q == FOUR ? 8'd32 : 8'd128) || (net_q.address & host) != '0 ||
              (!net_first_q && {before_q.address, before_q.length_of} >= {net_q.address, net_q.length_of});
    net_beyond = 32'(net_q.class_of) >= geometry_q.address_classes;
  end

  assign ranges_start = state_q == STEP && (step_q == FOUR || step_q == SIX);

  weir_load_ranges #(
      .FOUR_LOG2(FOUR_LOG2),
      .SIX_LOG2 (SIX_LOG2)
  ) ranges (
      .clk_i  (clk_i),
      .rst_i  (rst_i || start_i),
      .start_i(ranges_start),
      .six_i  (step_q == SIX),
      .write_i(writing_i),
      .ready_o(ranges_ready),
      .valid_i(net_valid_q && !net_bad && !net_beyond && !wrong_q.valid),
      .first_i(net_q.address),
      .last_i (net_q.address | host),
      .class_i(net_q.class_of),
      .end_i  (state_q == RANGES && !end_sent_q),
      .done_o (ranges_done),
      .over_o (ranges_over),
      .write_o(ranges_write)
  );

  weir_load_transpose #(
      .SETS_LOG2   (SETS_LOG2),
      .HEADER      (HEADER),
      .SCRATCH_LOG2(SCRATCH_LOG2)
  ) transpose (
      .clk_i      (clk_i),
      .rst_i      (rst_i || start_i),
      .start_i    (state_q == TURN && !turn_sent_q),
      .done_o     (turn_done),
      .table_of_i (step_q == PORT_ROWS ? TO_PORT_ROWS : TO_ADDRESS_ROWS),
      .sets_i     (rows),
      .classes_i  (columns),
      .header_i   (geometry_q.header_entries),
      .word_at_o  (turn_at),
      .word_i     (scratch),
      .record_at_o(turn_record),
      .record_i   (step_q == PORT_ROWS ? info.ports : info.addresses),
      .write_o    (turn_write)
  );

  // ---- words, as they come
  logic exact_busy;
  assign exact_busy = exact_q != FREE;
  assign take = word_valid_i && word_ready_o;
  always_comb begin
    unique case (step_q)
      EXACT: word_ready_o = !exact_busy;
      FOUR, SIX: word_ready_o = ranges_ready && !net_valid_q;
      default: word_ready_o = 1'b1;
    endcase
  end

  function automatic logic [31:0] element(input logic [31:0] n, input logic [31:0] bytes);
    return found_q.offset + n * bytes;
  endfunction

  always_comb begin
    wrong = '0;
    unique case (step_q)
      LISTS, HEADS:
      if (take && word_i[31:0] >= geometry_q.records) begin
        wrong = refused(TABLE_ERROR_REFERENCE, kind, element(32'(index_q), 32'd4));
      end
      RECORDS:
      if (six_valid_q) begin
        if (32'(record_of.source_ports) >= geometry_q.port_sets ||
            32'(record_of.destination_ports) >= geometry_q.port_sets ||
            32'(record_of.source_addresses) >= geometry_q.address_sets ||
            32'(record_of.destination_addresses) >= geometry_q.address_sets) begin
          wrong = refused(TABLE_ERROR_REFERENCE, kind, element(32'(six_index_q), 32'(RECORD_BYTES)));
        end else if (!can_hold(record_of)) begin
          wrong = refused(TABLE_ERROR_VALUE, kind, element(32'(six_index_q), 32'(RECORD_BYTES)));
        end
      end
      EXACT:
      if (exact_q == HASHED && 33'(entry_q.list_start) + 33'(entry_q.list_count) > 33'(geometry_q.list_entries)) begin
        wrong = refused(TABLE_ERROR_REFERENCE, kind, element(entry_at_q, 32'(EXACT_ENTRY_BYTES)));
      end else if (entry_bad) begin
        wrong = refused(TABLE_ERROR_VALUE, kind, element(entry_at_q, 32'(EXACT_ENTRY_BYTES)));
      end
      GUARDS:
      if (take && 33'(word_i[31:0]) + 33'(word_i[63:32]) > 33'(geometry_q.list_entries)) begin
        wrong = refused(TABLE_ERROR_REFERENCE, kind, element(32'(index_q), 32'(LIST_RANGE_BYTES)));
      end
      PORTS:
      if (take && 32'(word_i[15:0]) >= geometry_q.port_classes) begin
        wrong = refused(TABLE_ERROR_REFERENCE, kind, element(32'(index_q), 32'd2));
      end
      FOUR, SIX:
      if (net_valid_q && (net_bad || net_beyond)) begin
        wrong = refused(net_bad ? TABLE_ERROR_VALUE : TABLE_ERROR_REFERENCE, kind, net_at_q);
      end
      PORT_ROWS, ADDRESS_ROWS:
      // Set 0 holds every class.
      if (take && index_q < 24'(words_of_row) &&
          (word_i[63:0] | beyond_columns) != '1)
      begin
        wrong = refused(TABLE_ERROR_VALUE, kind, found_q.offset);
      end
      default: ;
    endcase
  end

  // ---- words of the bank
  always_comb begin
    write = '0;
    write.address = index_q;
    write.data = 1024'(word_i);
    write.length_of = length_q;
    unique case (step_q)
      LISTS: begin
        write.valid = take;
        write.table_of = TO_LISTS;
      end
      HEADS: begin
        write.valid = take;
        write.table_of = TO_HEADER;
      end
      RECORDS: begin
        write.valid = six_valid_q;
        write.table_of = TO_RECORDS;
        write.address = 24'(six_index_q);
        write.data = 1024'(six_q);
      end
      BLOOM: begin
        write.valid = take;
        write.table_of = TO_BLOOM;
        write.part = 4'(index_q >> (shape.bloom_bits_log2 - 8'd6));
        write.address = index_q & 24'((32'd1 << (shape.bloom_bits_log2 - 8'd6)) - 32'd1);
      end
      EXACT: begin
        // Ways that the image does not use hold nothing, whatever the bank held before.
        write.valid = take || exact_q == FILL;
        write.table_of = TO_EXACT;
        write.part = exact_q == FILL ? fill_way_q[3:0] : way_q[3:0];
        write.address = exact_q == FILL ? entry_bucket_q : bucket_q;
        if (exact_q == FILL) write.data = '0;
        if (state_q == JUDGE) begin
          write.valid = 1'b1;
          write.table_of = TO_GEOMETRY;
          write.part = '0;
          write.address = '0;
          write.data = shape.bloom_partitions == '0 ? '0 :
              1024'({shape.exact_buckets_log2, shape.bloom_bits_log2, shape.bloom_partitions, multipliers_q[length_q]});
        end
      end
      GUARDS: begin
        write.valid = take;
        write.table_of = TO_GUARDS;
      end
      LIMITS: begin
        write.valid = take && index_q == '0;
        write.table_of = TO_LIMITS;
        write.data = 1024'(word_i[63:0]);
      end
      PARAMETERS: begin
        write.valid = six_valid_q;
        write.table_of = six_index_q == '0 ? TO_ESCAPES : TO_WORDS;
        write.address = '0;
        write.data = six_index_q == '0 ? 1024'(six_q) : 1024'(six_q[575:0]);
      end
      PORTS: begin
        write.valid = take;
        write.table_of = TO_PORTS;
      end
      default: ;
    endcase
    if (write.table_of != TO_BLOOM && write.table_of != TO_EXACT && write.table_of != TO_GEOMETRY) write.length_of = '0;
    if (!writing_i) write.valid = 1'b0;
  end

  always_comb begin
    write_o = write_q;
    if (ranges_write.valid) write_o = ranges_write;
    if (turn_write.valid) write_o = turn_write;
  end

  // ---- what ends a run
  logic guard_wanted, guard_held;
  assign guard_wanted = GUARDS_ALWAYS[guard_q];
  assign guard_held = GUARDS_REST_ONCE_ENCRYPTED[guard_q] ? info.rests : info.holds;
  assign over = asked_q && result_i.done;

  always_comb begin
    refuse = '0;
    unique case (state_q)
      STEP: begin
        if (step_q == BLOOM && shape.bloom_partitions != '0) begin
          if (!allowed(shape)) begin
            refuse = refused(TABLE_ERROR_GEOMETRY, BLOCK_TYPE_GEOMETRY, geometry_at_q + 32'(length_q) * 32'(ENTRY_BYTES));
          end else if (multipliers_q[length_q] == '0) begin
            refuse = refused(TABLE_ERROR_VALUE, BLOCK_TYPE_HASH, hash_at_q + 32'(length_q) * 32'd8);
          end
        end
        if (matrix && (rows == '0 || columns == '0 || rows > 32'h1_0000 || columns > 32'h1_0000)) begin
          refuse = refused(TABLE_ERROR_GEOMETRY, BLOCK_TYPE_GEOMETRY, geometry_at_q);
        end
      end
      FIND:
      if (found_valid_i) begin
        if (found_i.there && 40'(found_i.length_of) != expected) begin
          refuse = refused(TABLE_ERROR_BLOCK_SIZE, kind, found_i.offset);
        end else if (!found_i.there && expected != '0) begin
          refuse = refused(TABLE_ERROR_BLOCK_MISSING, kind, '0);
        end
      end
      JUDGE: begin
        if (result_q.fault) refuse = refused(TABLE_ERROR_DMA, '0, dma_piece(found_q.offset + result_q.fault_at));
        else if (found_q.there && result_q.crc != found_q.crc) refuse = refused(TABLE_ERROR_BLOCK_CRC, kind, found_q.offset);
        else if (wrong_q.valid) refuse = wrong_q;
        else if (step_q == EXACT && !writing_i && shape.bloom_partitions != '0 && used_q != shape.entries) begin
          refuse = refused(TABLE_ERROR_VALUE, BLOCK_TYPE_GEOMETRY, geometry_at_q + 32'(length_q) * 32'(ENTRY_BYTES));
        end
      end
      GUARD_ID:
      if (guard_left_q == '0) begin
        refuse = refused(TABLE_ERROR_GUARD_MISSING, kind, element(32'(guard_q), 32'(LIST_RANGE_BYTES)));
      end
      RANGES: if (ranges_done && ranges_over) refuse = refused(TABLE_ERROR_CAPACITY, kind, found_q.offset);
      NEXT: if (step_q == GEOMETRY && !fits) refuse = refused(TABLE_ERROR_CAPACITY, kind, geometry_at_q);
      default: ;
    endcase
  end

  // ---- one block behind the other
  always_comb begin
    find_o = state_q == STEP && !refuse.valid;
    find_kind_o = kind;
    command_o = '0;
    command_o.valid = state_q == READ && !asked_q;
    command_o.offset = found_q.offset;
    command_o.length_of = expected[31:0];
    command_o.word_log2 = word_log2;
  end

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    write_q <= write;
    six_valid_q <= 1'b0;
    net_valid_q <= 1'b0;
    end_sent_q <= state_q == RANGES;
    turn_sent_q <= state_q == TURN;
    asked_q <= (asked_q || command_o.valid) && !over;
    if (take) index_q <= index_q + 24'd1;
    if (wrong.valid && !wrong_q.valid) wrong_q <= wrong;

    // Six words.
    if (six_valid_q) six_index_q <= six_index_q + 16'd1;
    if (take && word_log2 == 3'd4) begin
      six_q <= {word_i, six_q[767:128]};
      six_count_q <= six_count_q == 3'd5 ? 3'd0 : six_count_q + 3'd1;
      six_valid_q <= six_count_q == 3'd5;
    end
    if (take && step_q == HASH) multipliers_q[index_q[2:0]] <= word_i[63:0];

    // Entries of the filter.
    bit_q <= bloom_bit[5:0];
    unique case (exact_q)
      FREE:
      if (take && step_q == EXACT) begin
        entry_q <= entry_in;
        entry_at_q <= 32'(index_q);
        entry_bucket_q <= bucket_q;
        fill_way_q <= shape.exact_ways;
        way_q <= last_way ? 8'd0 : way_q + 8'd1;
        if (last_way) bucket_q <= bucket_q + 24'd1;
        if (entry_in.list_count != '0) used_q <= used_q + 32'd1;
        if (!writing_i && entry_in.list_count != '0) exact_q <= HASHED;
        else if (writing_i && last_way && shape.exact_ways != 8'(WAYS)) exact_q <= FILL;
      end
      HASHED: begin
        middle_q <= middle;
        prefix_q <= prefix;
        canonical_q <= canonical;
        holds_q <= 1'b1;
        test_q <= '0;
        exact_q <= TEST;
      end
      TEST: begin
        test_q <= test_q + 3'd1;
        if (test_q != '0 && !scratch[bit_q]) holds_q <= 1'b0;
        if (8'(test_q) == shape.bloom_partitions) exact_q <= FREE;
      end
      default: begin  // FILL
        fill_way_q <= fill_way_q + 8'd1;
        if (fill_way_q + 8'd1 == 8'(WAYS)) exact_q <= FREE;
      end
    endcase

    // Prefixes.
    if (take && (step_q == FOUR || step_q == SIX)) begin
      parts_q <= {word_i[31:0], parts_q[159:32]};
      part_q  <= part_q == 3'd4 ? 3'd0 : part_q + 3'd1;
      if (step_q == FOUR || part_q == 3'd4) begin
        net_q <= prefix_in;
        net_valid_q <= 1'b1;
        net_at_q <= net_next_q;
        net_next_q <= net_next_q + (step_q == FOUR ? 32'(ADDRESS_PREFIX_V4_BYTES) : 32'(ADDRESS_PREFIX_V6_BYTES));
      end
    end
    if (net_valid_q) begin
      before_q <= net_q;
      net_first_q <= 1'b0;
    end

    unique case (state_q)
      IDLE: begin
        step_q <= GEOMETRY;
        length_q <= '0;
        if (start_i) state_q <= STEP;
      end
      STEP: begin
        index_q <= '0;
        six_count_q <= '0;
        six_index_q <= '0;
        used_q <= '0;
        bucket_q <= '0;
        way_q <= '0;
        exact_q <= FREE;
        part_q <= '0;
        net_first_q <= 1'b1;
        wrong_q.valid <= 1'b0;
        guard_q <= '0;
        state_q <= FIND;
      end
      FIND:
      if (found_valid_i) begin
        found_q <= found_i;
        net_next_q <= found_i.offset;
        state_q <= READ;
      end
      READ: begin
        result_q <= result_i;
        if (over) state_q <= REST;
      end
      REST: if (!exact_busy && !six_valid_q && !net_valid_q && ranges_ready) state_q <= JUDGE;
      JUDGE: begin
        if (step_q == GEOMETRY) begin
          geometry_q <= six_q;
          geometry_at_q <= found_q.offset;
        end
        if (step_q == HASH) hash_at_q <= found_q.offset;
        unique case (step_q)
          GUARDS: state_q <= writing_i ? NEXT : GUARD;
          FOUR, SIX: state_q <= RANGES;
          PORT_ROWS, ADDRESS_ROWS: state_q <= writing_i ? TURN : NEXT;
          default: state_q <= NEXT;
        endcase
      end
      // Whether guard_q leads to a record that always holds; its range comes a cycle later.
      GUARD: state_q <= GUARD_AT;
      GUARD_AT: begin
        guard_at_q <= guard.start[LISTS_LOG2-1:0];
        guard_left_q <= guard.count;
        state_q <= GUARD_ID;
        if (!guard_wanted) begin
          guard_q <= guard_q + 6'd1;
          state_q <= guard_q == 6'd63 ? NEXT : GUARD;
        end
      end
      GUARD_ID: begin
        guard_at_q <= guard_at_q + LISTS_LOG2'(1);
        guard_left_q <= guard_left_q - 32'd1;
        wait_q <= 1'b1;
        state_q <= GUARD_SAYS;
      end
      GUARD_SAYS: begin
        // The record's number is here in the first cycle, what it says in the second.
        wait_q <= 1'b0;
        if (!wait_q) begin
          state_q <= GUARD_ID;
          if (guard_held) begin
            guard_q <= guard_q + 6'd1;
            state_q <= guard_q == 6'd63 ? NEXT : GUARD;
          end
        end
      end
      RANGES: if (ranges_done) state_q <= NEXT;
      TURN: if (turn_done) state_q <= NEXT;
      default: begin  // NEXT
        state_q <= STEP;
        step_q  <= step_e'(4'(step_q) + 4'd1);
        if (step_q == EXACT && length_q != 3'(LENGTHS - 1)) begin
          step_q   <= BLOOM;
          length_q <= length_q + 3'd1;
        end
        if (step_q == ADDRESS_ROWS) begin
          done_o  <= 1'b1;
          state_q <= IDLE;
        end
      end
    endcase

    if (start_i) refusal_o.valid <= 1'b0;
    if (refuse.valid) begin
      refusal_o <= refuse;
      done_o <= 1'b1;
      state_q <= IDLE;
    end
    if (rst_i) begin
      state_q <= IDLE;
      exact_q <= FREE;
      asked_q <= 1'b0;
      done_o <= 1'b0;
      write_q.valid <= 1'b0;
    end
  end

  function automatic int unsigned largest();
    int unsigned words;
    words = ADDRESS_SETS * ((1 << ADDRESS_CLASSES_LOG2) / 64);
    if (PORT_SETS * ((1 << PORT_CLASSES_LOG2) / 64) > words) words = PORT_SETS * ((1 << PORT_CLASSES_LOG2) / 64);
    for (int unsigned n = 0; n < LENGTHS; n++) begin
      if (32'(PARTITIONS[n]) << (BLOOM_LOG2[n] - 8'd6) > words) words = 32'(PARTITIONS[n]) << (BLOOM_LOG2[n] - 8'd6);
    end
    return words;
  endfunction

  if (largest() > (1 << SCRATCH_LOG2)) begin : g_check
    $error("SCRATCH_LOG2 must make room for the partitions of a length and for a matrix");
  end

endmodule

`default_nettype wire
