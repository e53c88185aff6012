// The blocks of a table image: what they hold is checked, or written into a bank.
//
// Function: hw-sim's tables/load.rs, block by block in its order, so that the first thing that is wrong is the one that is told;
// what does not fit the memories is told behind the geometry. A run either checks and writes nothing, or checks once more what
// passes by (checksums, indices and values, not the filter's entries) and writes. Latency and throughput of a run: a word per
// cycle (2 bytes of PortClasses, 4 of ids, 8 of Bloom bits, matrices and prefixes, 16 of everything else), 16 cycles a block;
// checking, 3 and one per Bloom partition for each entry of the filter in use, 4 for each list entry before a guard's record
// that always holds; prefixes as weir_load_ranges, writing, matrices and the header table as weir_load_transpose. Back-pressure: host memory's.
`default_nettype none

module weir_load_blocks
  import weir_contract_pkg::*;
  import weir_match_pkg::*;
  import weir_judge_pkg::*;
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
    FOLLOW,     // where guards lead
    RANGES,
    TURN,
    SUMMARY,    // what lists say of their records
    NEXT
  } state_e;

  // Of a record: what guards and the header table ask.
  typedef struct packed {
    logic                      holds;      // is_always
    logic                      rests;      // is_always_unless_encrypted
    logic [1:0][SETS_LOG2-1:0] addresses;  // source, destination
    logic [1:0][SETS_LOG2-1:0] ports;
    conditions_t               asks;
  } info_t;

  step_e step_q;
  state_e state_q;
  logic [2:0] length_q;
  found_t found_q;
  refusal_t refuse, wrong, wrong_q;
  geometry_t geometry_q;
  logic [31:0] geometry_at_q, hash_at_q, shape_at;
  logic [LENGTHS-1:0][63:0] multipliers_q;
  logic [23:0] index_q;
  logic take, asked_q, over;
  read_result_t result_q;
  table_write_t write, write_q;

  length_geometry_t shape;
  assign shape = geometry_q.lengths[length_q];
  assign shape_at = geometry_at_q + 32'(length_q) * 32'(ENTRY_BYTES);

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
    info_of.asks = conditions_of(record_of);
    info_of.ports = {SETS_LOG2'(record_of.destination_ports), SETS_LOG2'(record_of.source_ports)};
    info_of.addresses = {SETS_LOG2'(record_of.destination_addresses), SETS_LOG2'(record_of.source_addresses)};
  end

  // ---- memories of what is asked across blocks
  logic [RECORDS_LOG2-1:0] listed, headed, info_at;
  logic [LISTS_LOG2-1:0] summary_at;
  logic [HEADER_LOG2-1:0] turn_record;
  logic [5:0] guard;
  logic follow_sent_q, guards_done, guards_missing;
  info_t info;

  weir_load_guards #(
      .LISTS_LOG2  (LISTS_LOG2),
      .RECORDS_LOG2(RECORDS_LOG2)
  ) guards (
      .clk_i     (clk_i),
      .rst_i     (rst_i || start_i),
      .list_i    (take && step_q == LISTS),
      .list_at_i (index_q[LISTS_LOG2-1:0]),
      .list_id_i (word_i[RECORDS_LOG2-1:0]),
      .range_i   (take && step_q == GUARDS),
      .range_at_i(index_q[5:0]),
      .range_of_i(word_i[63:0]),
      .start_i   (state_q == FOLLOW && !follow_sent_q),
      .done_o    (guards_done),
      .missing_o (guards_missing),
      .guard_o   (guard),
      .look_i    (state_q == SUMMARY),
      .look_at_i (summary_at),
      .record_o  (listed),
      .holds_i   (info.holds),
      .rests_i   (info.rests)
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

  // ---- entries of the filter
  logic entries_ready, entries_reference, entries_value, entries_fill;
  logic [31:0] entries_at, used;
  logic [3:0] entries_way;
  logic [23:0] entries_bucket;
  logic [SCRATCH_LOG2-1:0] entries_word;
  assign scratch_at = state_q == TURN ? turn_at : entries_word;

  weir_load_entries #(
      .WAYS        (WAYS),
      .SCRATCH_LOG2(SCRATCH_LOG2)
  ) entries (
      .clk_i         (clk_i),
      .rst_i         (rst_i),
      .start_i       (state_q == STEP),
      .writing_i     (writing_i),
      .shape_i       (shape),
      .length_i      (length_q),
      .multiplier_i  (multipliers_q[length_q]),
      .list_entries_i(geometry_q.list_entries),
      .ready_o       (entries_ready),
      .valid_i       (take && step_q == EXACT),
      .entry_i       (word_i),
      .reference_o   (entries_reference),
      .value_o       (entries_value),
      .at_o          (entries_at),
      .used_o        (used),
      .fill_o        (entries_fill),
      .way_o         (entries_way),
      .bucket_o      (entries_bucket),
      .word_at_o     (entries_word),
      .word_i        (scratch)
  );

  // ---- prefixes
  logic nets, nets_ready, nets_idle, nets_value, nets_reference, nets_done, nets_over, end_sent_q, turn_sent_q, turn_done;
  logic [31:0] nets_at;
  table_write_t nets_write, turn_write;
  assign nets = step_q == FOUR || step_q == SIX;

  weir_load_prefixes #(
      .FOUR_LOG2(FOUR_LOG2),
      .SIX_LOG2 (SIX_LOG2)
  ) prefixes (
      .clk_i      (clk_i),
      .rst_i      (rst_i || start_i),
      .start_i    (state_q == STEP && nets),
      .six_i      (step_q == SIX),
      .writing_i  (writing_i),
      .classes_i  (geometry_q.address_classes),
      .ready_o    (nets_ready),
      .idle_o     (nets_idle),
      .valid_i    (take && nets),
      .word_i     (word_i[63:0]),
      .value_o    (nets_value),
      .reference_o(nets_reference),
      .at_o       (nets_at),
      .wrong_i    (wrong_q.valid),
      .end_i      (state_q == RANGES && !end_sent_q),
      .done_o     (nets_done),
      .over_o     (nets_over),
      .write_o    (nets_write)
  );

  // ---- matrices, turned
  weir_load_transpose #(
      .SETS_LOG2   (SETS_LOG2),
      .HEADER      (HEADER),
      .SCRATCH_LOG2(SCRATCH_LOG2)
  ) transpose (
      .clk_i       (clk_i),
      .rst_i       (rst_i || start_i),
      .start_i     (state_q == TURN && !turn_sent_q),
      .done_o      (turn_done),
      .table_of_i  (step_q == RECORDS ? TO_HEADER : step_q == PORT_ROWS ? TO_PORT_ROWS : TO_ADDRESS_ROWS),
      .sets_i      (rows),
      .conditions_i(step_q == RECORDS),
      .classes_i   (step_q == RECORDS ? 32'(CONDITIONS) : columns),
      .header_i    (geometry_q.header_entries),
      .word_at_o   (turn_at),
      .word_i      (scratch),
      .record_at_o (turn_record),
      .record_i    (step_q == PORT_ROWS ? info.ports : info.addresses),
      .asks_i      (info.asks),
      .write_o     (turn_write)
  );

  // ---- summaries of the lists' records
  list_summary_t summary;
  table_write_t summary_write;
  logic summary_done, summary_sent_q;

  assign summary = '{
      transports: info.asks.transports,
      directions: info.asks.directions,
      source_ports: 10'(info.ports[0]),
      destination_ports: 10'(info.ports[1])
  };

  weir_load_lists #(
      .LISTS_LOG2(LISTS_LOG2)
  ) summaries (
      .clk_i    (clk_i),
      .rst_i    (rst_i || start_i),
      .start_i  (state_q == SUMMARY && !summary_sent_q),
      .done_o   (summary_done),
      .entries_i(geometry_q.list_entries),
      .at_o     (summary_at),
      .summary_i(summary),
      .write_o  (summary_write)
  );

  // ---- words, as they come
  assign take = word_valid_i && word_ready_o;
  always_comb begin
    unique case (step_q)
      EXACT: word_ready_o = entries_ready;
      FOUR, SIX: word_ready_o = nets_ready;
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
      if (entries_reference || entries_value) begin
        wrong = refused(entries_reference ? TABLE_ERROR_REFERENCE : TABLE_ERROR_VALUE, kind,
                        element(entries_at, 32'(EXACT_ENTRY_BYTES)));
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
      if (nets_value || nets_reference) begin
        wrong = refused(nets_value ? TABLE_ERROR_VALUE : TABLE_ERROR_REFERENCE, kind, element(nets_at, 32'd1));
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
        write.valid = take || entries_fill;
        write.table_of = TO_EXACT;
        write.part = entries_way;
        write.address = entries_bucket;
        if (entries_fill) write.data = '0;
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
    if (nets_write.valid) write_o = nets_write;
    if (turn_write.valid) write_o = turn_write;
    if (summary_write.valid) write_o = summary_write;
  end

  // ---- what ends a run
  assign over = asked_q && result_i.done;

  always_comb begin
    refuse = '0;
    unique case (state_q)
      STEP: begin
        if (step_q == BLOOM && shape.bloom_partitions != '0) begin
          if (!allowed(shape)) begin
            refuse = refused(TABLE_ERROR_GEOMETRY, BLOCK_TYPE_GEOMETRY, shape_at);
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
        else if (found_q.there && result_q.crc != found_q.crc) begin
          refuse = refused(TABLE_ERROR_BLOCK_CRC, kind, found_q.offset);
        end
        else if (wrong_q.valid) refuse = wrong_q;
        else if (step_q == EXACT && !writing_i && shape.bloom_partitions != '0 && used != shape.entries) begin
          refuse = refused(TABLE_ERROR_VALUE, BLOCK_TYPE_GEOMETRY, shape_at);
        end
      end
      FOLLOW:
      if (guards_done && guards_missing) begin
        refuse = refused(TABLE_ERROR_GUARD_MISSING, kind, element(32'(guard), 32'(LIST_RANGE_BYTES)));
      end
      RANGES: if (nets_done && nets_over) refuse = refused(TABLE_ERROR_CAPACITY, kind, found_q.offset);
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
    follow_sent_q <= state_q == FOLLOW;
    end_sent_q <= state_q == RANGES;
    turn_sent_q <= state_q == TURN;
    summary_sent_q <= state_q == SUMMARY;
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
        wrong_q.valid <= 1'b0;
        state_q <= FIND;
      end
      FIND:
      if (found_valid_i) begin
        found_q <= found_i;
        state_q <= READ;
      end
      READ: begin
        result_q <= result_i;
        if (over) state_q <= REST;
      end
      REST: if (entries_ready && !six_valid_q && nets_idle) state_q <= JUDGE;
      JUDGE: begin
        if (step_q == GEOMETRY) begin
          geometry_q <= six_q;
          geometry_at_q <= found_q.offset;
        end
        if (step_q == HASH) hash_at_q <= found_q.offset;
        unique case (step_q)
          GUARDS: state_q <= writing_i ? NEXT : FOLLOW;
          FOUR, SIX: state_q <= RANGES;
          RECORDS, PORT_ROWS, ADDRESS_ROWS: state_q <= writing_i ? TURN : NEXT;
          default: state_q <= NEXT;
        endcase
      end
      FOLLOW: if (guards_done) state_q <= NEXT;
      RANGES: if (nets_done) state_q <= NEXT;
      TURN: if (turn_done) state_q <= step_q == RECORDS ? SUMMARY : NEXT;
      SUMMARY: if (summary_done) state_q <= NEXT;
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
