// The table loader: an image from host memory into the bank that does not judge, and the change of banks.
//
// Function: TABLE_LOAD and EPOCH of the contract, as hw-sim's banks.rs and tables/. An image is read more than once: first its
// frame is checked (weir_load_image), then what its blocks hold, and only then the bank is written; each pass forms the
// checksums of what it uses, so that nothing becomes ready that was not checked. An image that is refused has changed no bank; one
// that changes in host memory between the passes is refused and leaves nothing but the tables that judge.
// Latency: some 3 passes over what the device loads and 2 over the whole image; with ET Open 1.32 million cycles (5.3 ms at
// 250 MHz), see weir_load_blocks. Throughput: an image at a time. Back-pressure: host memory's; the frame path is never
// stopped, the bank is written only while no frame has it.
//
//     TABLE_LOAD ─► frame ─► blocks: check ─► no frame has the bank ─► blocks: write ─► shadow ─► EPOCH ─► active
//                     └─────────┴── reader ◄── host memory                └► write port
`default_nettype none

module weir_loader
  import weir_contract_pkg::*;
  import weir_match_pkg::*;
  import weir_facts_pkg::*;
  import weir_load_pkg::*;
#(
    parameter int unsigned LISTS_LOG2 = 13,      // as the memories have them
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
    parameter int unsigned SCRATCH_LOG2 = 15,    // words of 64 bits that are kept to check and turn a block
    parameter int unsigned READS_LOG2 = 4        // lines on their way from host memory
) (
    input  wire logic              clk_i,
    input  wire logic              rst_i,
    // registers
    input  wire logic [63:0]       address_i,       // TABLE_ADDRESS
    input  wire logic [63:0]       length_i,        // TABLE_LENGTH
    input  wire logic              load_i,          // TABLE_LOAD is written; nothing happens while an image is loaded
    input  wire logic              activate_i,      // EPOCH is written
    input  wire logic [31:0]       epoch_i,
    output logic [1:0]             state_o,         // TABLE_STATUS
    output logic                   ended_o,         // for one cycle: an image was loaded or refused
    output refusal_t               refusal_o,       // then, and until the next load
    output logic                   active_valid_o,  // a bank judges: taken by a frame as it is accepted
    output logic                   active_bank_o,
    output logic [31:0]            active_epoch_o,
    output logic [31:0]            shadow_o,        // EPOCH_SHADOW
    output logic [31:0]            previous_o,      // EPOCH_PREVIOUS
    output tables_id_t             tables_o,        // TABLE_CRC, TABLE_IDENTITY
    output logic                   changed_o,       // for one cycle: EPOCH made another bank judge
    output logic                   unknown_o,       // for one cycle: EPOCH is not resident
    // host memory: lines in order
    output logic                   ask_valid_o,
    input  wire logic              ask_ready_i,
    output logic [63:0]            ask_address_o,
    output logic [6:0]             ask_bytes_o,
    input  wire logic              answer_valid_i,
    input  wire logic              answer_fault_i,
    input  wire logic [511:0]      answer_data_i,
    // banks
    input  wire logic [1:0]        in_use_i,        // some frame has the bank
    output table_write_t           write_o,
    output match_geometry_t [1:0]  geometry_o,      // by bank
    output escape_sets_t [1:0]     sets_o,
    output logic [1:0][31:0]       list_limit_o
);

  typedef enum logic [2:0] {IDLE, FRAME, CHECK, DRAIN, WRITE} work_e;

  work_e work_q;
  logic [63:0] address_q, length_q;
  logic begins, frame_done, blocks_start, blocks_done, find, found_valid, spare, overwrite, ready, bank_q;
  logic [15:0] find_kind;
  found_t found;
  refusal_t frame_refusal, blocks_refusal;
  image_header_t header;
  read_command_t command, frame_command, blocks_command;
  read_result_t result;
  logic word_valid, word_ready, blocks_ready;
  logic [127:0] word;
  table_write_t write;

  assign begins = load_i && work_q == IDLE;
  assign overwrite = work_q == DRAIN && !in_use_i[spare];
  assign blocks_start = (work_q == FRAME && frame_done && !frame_refusal.valid) || overwrite;
  assign ready = work_q == WRITE && blocks_done && !blocks_refusal.valid;
  assign command = work_q == FRAME ? frame_command : blocks_command;
  assign word_ready = work_q == FRAME || blocks_ready;

  weir_image_reader #(
      .DEPTH_LOG2(READS_LOG2)
  ) reader (
      .clk_i         (clk_i),
      .rst_i         (rst_i),
      .address_i     (address_q),
      .command_i     (command),
      .result_o      (result),
      .word_valid_o  (word_valid),
      .word_ready_i  (word_ready),
      .word_o        (word),
      .ask_valid_o   (ask_valid_o),
      .ask_ready_i   (ask_ready_i),
      .ask_address_o (ask_address_o),
      .ask_bytes_o   (ask_bytes_o),
      .answer_valid_i(answer_valid_i),
      .answer_fault_i(answer_fault_i),
      .answer_data_i (answer_data_i)
  );

  weir_load_image frame (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .start_i      (begins),
      .length_i     (begins ? length_i : length_q),
      .done_o       (frame_done),
      .refusal_o    (frame_refusal),
      .header_o     (header),
      .find_i       (find),
      .find_kind_i  (find_kind),
      .found_valid_o(found_valid),
      .found_o      (found),
      .command_o    (frame_command),
      .result_i     (result),
      .word_valid_i (word_valid && work_q == FRAME),
      .word_i       (word)
  );

  weir_load_blocks #(
      .LISTS_LOG2          (LISTS_LOG2),
      .RECORDS_LOG2        (RECORDS_LOG2),
      .HEADER              (HEADER),
      .PORT_CLASSES_LOG2   (PORT_CLASSES_LOG2),
      .PORT_SETS           (PORT_SETS),
      .ADDRESS_CLASSES_LOG2(ADDRESS_CLASSES_LOG2),
      .ADDRESS_SETS        (ADDRESS_SETS),
      .PARTITIONS          (PARTITIONS),
      .BLOOM_LOG2          (BLOOM_LOG2),
      .BUCKETS_LOG2        (BUCKETS_LOG2),
      .WAYS                (WAYS),
      .FOUR_LOG2           (FOUR_LOG2),
      .SIX_LOG2            (SIX_LOG2),
      .SCRATCH_LOG2        (SCRATCH_LOG2)
  ) blocks (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .start_i      (blocks_start),
      .writing_i    (work_q == WRITE),
      .done_o       (blocks_done),
      .refusal_o    (blocks_refusal),
      .write_o      (write),
      .find_o       (find),
      .find_kind_o  (find_kind),
      .found_valid_i(found_valid),
      .found_i      (found),
      .command_o    (blocks_command),
      .result_i     (result),
      .word_valid_i (word_valid && work_q != FRAME),
      .word_ready_o (blocks_ready),
      .word_i       (word)
  );

  weir_epochs epochs (
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .begin_i    (begins),
      .overwrite_i(overwrite),
      .ready_i    (ready),
      .tables_i   ('{crc: header.directory_crc, identity: header.identity}),
      .activate_i (activate_i),
      .epoch_i    (epoch_i),
      .spare_o    (spare),
      .valid_o    (active_valid_o),
      .bank_o     (active_bank_o),
      .epoch_o    (active_epoch_o),
      .shadow_o   (shadow_o),
      .previous_o (previous_o),
      .tables_o   (tables_o),
      .changed_o  (changed_o),
      .unknown_o  (unknown_o)
  );

  always_comb begin
    write_o = write;
    write_o.bank = bank_q;
  end

  always_ff @(posedge clk_i) begin
    ended_o <= 1'b0;
    unique case (work_q)
      IDLE:
      if (load_i) begin
        address_q <= address_i;
        length_q  <= length_i;
        refusal_o <= '0;
        state_o   <= 2'(TABLE_STATE_LOADING);
        work_q    <= FRAME;
      end
      FRAME:
      if (frame_done) begin
        refusal_o <= frame_refusal;
        work_q <= CHECK;
      end
      CHECK:
      if (blocks_done) begin
        refusal_o <= blocks_refusal;
        work_q <= DRAIN;
      end
      DRAIN: begin
        bank_q <= spare;
        if (overwrite) work_q <= WRITE;
      end
      default:  // WRITE
      if (blocks_done) begin
        refusal_o <= blocks_refusal;
        state_o <= 2'(TABLE_STATE_READY);
        ended_o <= 1'b1;
        work_q <= IDLE;
      end
    endcase
    if ((work_q == FRAME && frame_done && frame_refusal.valid) ||
        (work_q inside {CHECK, WRITE} && blocks_done && blocks_refusal.valid)) begin
      state_o <= 2'(TABLE_STATE_FAILED);
      ended_o <= 1'b1;
      work_q  <= IDLE;
    end
    if (rst_i) begin
      work_q <= IDLE;
      state_o <= 2'(TABLE_STATE_IDLE);
      refusal_o <= '0;
      ended_o <= 1'b0;
    end
  end

  // ---- what of a bank is no memory
  always_ff @(posedge clk_i) begin
    if (write_o.valid) begin
      unique case (write_o.table_of)
        TO_GEOMETRY:
        geometry_o[bank_q].lengths[write_o.length_of] <= '{
            multiplier: write_o.data[63:0],
            partitions: write_o.data[66:64],
            bits_log2: write_o.data[76:72],
            buckets_log2: write_o.data[84:80]
        };
        TO_LIMITS: begin
          geometry_o[bank_q].candidates <= write_o.data[31:0];
          list_limit_o[bank_q] <= write_o.data[63:32];
        end
        TO_ESCAPES: sets_o[bank_q][767:0] <= write_o.data[767:0];
        TO_WORDS: sets_o[bank_q].words <= write_o.data[$bits(words_t)-1:0];
        default: ;
      endcase
    end
  end

`ifndef SYNTHESIS
  // No frame has the bank that is written, and it does not judge.
  always_ff @(posedge clk_i) begin
    if (!rst_i && write_o.valid) assert (!in_use_i[bank_q] && !(active_valid_o && active_bank_o == bank_q));
  end
`endif

endmodule

`default_nettype wire
