// The frame of a table image: header, directory, blocks; lengths, bounds and checksums, nothing of their meaning.
//
// Function: hw-sim's fetch and Image::open, check by check in their order, so that the first thing that is wrong is the one
// that is told. Afterwards blocks are found by type. Latency: two passes over the image, 7 cycles per piece read, twice the
// directory's entries per block found and, for the order of blocks, twice their number squared. Throughput: a line of 64
// bytes per cycle while it reads. Back-pressure: host memory's.
`default_nettype none

module weir_load_image
  import weir_contract_pkg::*;
  import weir_load_pkg::*;
(
    input  wire logic          clk_i,
    input  wire logic          rst_i,
    input  wire logic          start_i,
    input  wire logic [63:0]   length_i,        // TABLE_LENGTH
    output logic               done_o,          // for one cycle
    output refusal_t           refusal_o,       // then, and until the next start
    output image_header_t      header_o,
    // where a block is, once the image is in order
    input  wire logic          find_i,          // for one cycle
    input  wire logic [15:0]   find_kind_i,
    output logic               found_valid_o,   // for one cycle
    output found_t             found_o,
    // reader
    output read_command_t      command_o,
    input  wire read_result_t  result_i,
    input  wire logic          word_valid_i,    // 16 bytes; taken at once
    input  wire logic [127:0]  word_i
);

  typedef enum logic [3:0] {
    IDLE,
    HEADER,     // the header's line
    FIRST,      // what else the model reads at once with it
    REST,       // all that can be read at all
    CHECK,
    DIRECTORY,
    ENTRY,
    TWICE,
    BLOCK,
    SPANS,      // the block that comes next in the image
    GAP,        // what lies before it
    FIND
  } state_e;

  localparam int unsigned ENTRIES_LOG2 = 8;
  localparam int unsigned HEADER_BYTES = 64;
  localparam int unsigned ENTRY_BYTES = 32;

  typedef struct packed {
    logic [31:0] from;
    logic [31:0] till;
    logic [15:0] kind;
  } span_t;

  state_e state_q;
  logic asked_q, got_q;          // the piece was asked for; the entry's data is there
  logic [ENTRIES_LOG2:0] entry_q, other_q, write_q;
  image_header_t header_q;
  block_entry_t entry, block_q;
  logic [31:0] directory_end, covered_q;
  span_t last_q, next_q, span;
  logic last_valid_q, next_valid_q;
  logic [127:0] low, high;
  logic [15:0] kind_q;
  refusal_t refuse;
  read_command_t command;
  logic over, reads, last_other;

  assign header_o = header_q;
  assign directory_end = 32'(HEADER_BYTES) + {header_q.block_count[26:0], 5'b00000};
  assign entry = {high, low};
  assign span = '{from: entry.offset[31:0], till: entry.offset[31:0] + entry.length[31:0], kind: entry.kind};
  assign last_other = 32'(other_q) == header_q.block_count;

  // ---- directory: a word of 16 bytes is half an entry
  logic directory_write;
  logic [ENTRIES_LOG2-1:0] look_at;
  assign directory_write = state_q == DIRECTORY && word_valid_i;
  assign look_at = state_q == ENTRY ? entry_q[ENTRIES_LOG2-1:0] : other_q[ENTRIES_LOG2-1:0];

  for (genvar half = 0; half < 2; half++) begin : g_half
    logic [127:0] read;
    weir_ram_1r1w #(
        .ADDRESS_BITS(ENTRIES_LOG2),
        .DATA_BITS   (128)
    ) directory (
        .clk_i          (clk_i),
        .write_i        (directory_write && write_q[0] == half),
        .write_address_i(ENTRIES_LOG2'(write_q >> 1)),
        .write_data_i   (word_i),
        .read_address_i (look_at),
        .read_data_o    (read)
    );
  end
  assign low  = g_half[0].read;
  assign high = g_half[1].read;

  // ---- what is read in a state
  always_comb begin
    reads = 1'b1;
    command = '0;
    command.word_log2 = WORDLESS;
    unique case (state_q)
      HEADER: begin
        command.length_of = 32'(HEADER_BYTES);
        command.word_log2 = 3'd4;
      end
      FIRST: command.length_of = length_i > 64'(1 << DMA_PIECE_LOG2) ? 32'(1 << DMA_PIECE_LOG2) : length_i[31:0];
      REST: begin
        command.offset = 32'(1 << DMA_PIECE_LOG2);
        if (length_i > 64'(1 << DMA_PIECE_LOG2)) command.length_of = length_i[31:0] - 32'(1 << DMA_PIECE_LOG2);
      end
      DIRECTORY: begin
        command.offset = 32'(HEADER_BYTES);
        command.length_of = directory_end - 32'(HEADER_BYTES);
        command.word_log2 = 3'd4;
      end
      BLOCK: begin
        command.offset = block_q.offset[31:0];
        command.length_of = block_q.length[31:0];
      end
      GAP: begin
        command.offset = covered_q;
        command.length_of = next_q.from - covered_q;
      end
      default: reads = 1'b0;
    endcase
    command.valid = reads && !asked_q;
    command_o = command;
    over = asked_q && result_i.done;
  end

  // ---- what is refused
  logic header_long;
  assign header_long = header_q.length != length_i;
  always_comb begin
    refuse = '0;
    unique case (state_q)
      FIRST:
      if (over && header_q.magic == IMAGE_MAGIC && header_long) begin
        refuse = refused(TABLE_ERROR_LENGTH, '0, 32'd8);
      end
      CHECK: begin
        if (header_q.magic != IMAGE_MAGIC) refuse = refused(TABLE_ERROR_MAGIC, '0, '0);
        else if (!got_q) refuse = refused(TABLE_ERROR_HEADER_CRC, '0, '0);
        else if (header_q.major != CONTRACT_MAJOR || header_q.minor > CONTRACT_MINOR) begin
          refuse = refused(TABLE_ERROR_VERSION, '0, 32'd4);
        end else if (header_q.block_count > IMAGE_BLOCKS_MAX) begin
          refuse = refused(TABLE_ERROR_CAPACITY, '0, 32'd32);
        end else if (64'(directory_end) > header_q.length) begin
          refuse = refused(TABLE_ERROR_LENGTH, '0, 32'(HEADER_BYTES));
        end
      end
      DIRECTORY:
      if (over && result_i.crc != header_q.directory_crc) begin
        refuse = refused(TABLE_ERROR_HEADER_CRC, '0, 32'(HEADER_BYTES));
      end
      ENTRY:
      if (got_q) begin
        if (entry.offset > header_q.length || entry.length > header_q.length - entry.offset ||
            entry.offset < 64'(directory_end) || (entry.offset & (IMAGE_BLOCK_ALIGN - 64'd1)) != '0) begin
          refuse = refused(TABLE_ERROR_BLOCK_BOUNDS, entry.kind, directory_at(entry_q));
        end else if ((entry.flags & ~BLOCK_FLAGS_ALL) != '0 || entry.reserved != '0) begin
          refuse = refused(TABLE_ERROR_VALUE, entry.kind, directory_at(entry_q));
        end else if (!entry.flags[BLOCK_FLAGS_HOST_ONLY_BIT] && !(known_block(entry.kind) && entry.version == 16'd1))
        begin
          refuse = refused(TABLE_ERROR_BLOCK_UNKNOWN, entry.kind, directory_at(entry_q));
        end
      end
      TWICE:
      if (got_q && other_q != entry_q && entry.kind == block_q.kind) begin
        refuse = refused(TABLE_ERROR_BLOCK_TWICE, block_q.kind, directory_at(entry_q));
      end
      BLOCK:
      if (over && result_i.crc != block_q.crc) begin
        refuse = refused(TABLE_ERROR_BLOCK_CRC, block_q.kind, block_q.offset[31:0]);
      end
      SPANS:
      if (last_other && next_valid_q && next_q.from < covered_q) begin
        refuse = refused(TABLE_ERROR_BLOCK_BOUNDS, next_q.kind, next_q.from);
      end
      GAP:
      if (over && result_i.nonzero) begin
        refuse = refused(TABLE_ERROR_VALUE, '0, covered_q + result_i.nonzero_at);
      end
      default: ;
    endcase
    if (over && result_i.fault) refuse = refused(TABLE_ERROR_DMA, '0, dma_piece(command.offset + result_i.fault_at));
    // Nothing of the image is looked at.
    if (start_i && (length_i < 64'(HEADER_BYTES) || length_i > IMAGE_LENGTH_MAX)) begin
      refuse = refused(TABLE_ERROR_LENGTH, '0, '0);
    end
  end

  function automatic logic [31:0] directory_at(input logic [ENTRIES_LOG2:0] n);
    return 32'(HEADER_BYTES) + 32'(n) * 32'(ENTRY_BYTES);
  endfunction

  // ---- one check behind the other
  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    found_valid_o <= 1'b0;
    got_q <= 1'b0;
    if (state_q == HEADER && word_valid_i) header_q <= {word_i, header_q[511:128]};
    if (directory_write) write_q <= write_q + (ENTRIES_LOG2 + 1)'(1);
    unique case (state_q)
      IDLE: begin
        other_q <= '0;
        if (find_i) begin
          kind_q <= find_kind_i;
          found_o <= '0;
          state_q <= FIND;
        end
      end
      HEADER: begin
        // Its checksum is right if it leaves what every right one leaves.
        got_q <= got_q;
        if (over) begin
          got_q   <= result_i.crc == CRC_RESIDUE;
          state_q <= FIRST;
        end
      end
      FIRST: begin
        got_q <= got_q;
        if (over) state_q <= REST;
      end
      REST: begin
        got_q <= got_q;
        if (over) state_q <= CHECK;
      end
      CHECK: begin
        write_q <= '0;
        entry_q <= '0;
        state_q <= DIRECTORY;
      end
      DIRECTORY: begin
        covered_q <= directory_end;
        last_valid_q <= 1'b0;
        next_valid_q <= 1'b0;
        if (over) state_q <= header_q.block_count == '0 ? SPANS : ENTRY;
      end
      ENTRY: begin
        got_q <= 1'b1;
        other_q <= '0;
        if (got_q) begin
          block_q <= entry;
          got_q   <= 1'b0;
          state_q <= TWICE;
        end
      end
      TWICE: begin
        got_q <= !got_q && other_q != entry_q;
        if (other_q == entry_q) begin
          other_q <= '0;
          state_q <= BLOCK;
        end else if (got_q) begin
          other_q <= other_q + (ENTRIES_LOG2 + 1)'(1);
        end
      end
      BLOCK:
      if (over) begin
        entry_q <= entry_q + (ENTRIES_LOG2 + 1)'(1);
        state_q <= 32'(entry_q) + 32'd1 == header_q.block_count ? SPANS : ENTRY;
      end
      SPANS: begin
        got_q <= !got_q && !last_other;
        if (last_other) begin
          // Behind the last one the image's end.
          if (!next_valid_q) next_q <= '{from: header_q.length[31:0], till: header_q.length[31:0], kind: '0};
          state_q <= GAP;
        end else if (got_q) begin
          other_q <= other_q + (ENTRIES_LOG2 + 1)'(1);
          if ((!last_valid_q || span > last_q) && (!next_valid_q || span < next_q)) begin
            next_q <= span;
            next_valid_q <= 1'b1;
          end
        end
      end
      GAP:
      if (over) begin
        covered_q <= next_q.till;
        last_q <= next_q;
        last_valid_q <= 1'b1;
        next_valid_q <= 1'b0;
        other_q <= '0;
        state_q <= SPANS;
        if (!next_valid_q) begin
          done_o  <= 1'b1;
          state_q <= IDLE;
        end
      end
      default: begin  // FIND
        got_q <= !got_q && !last_other;
        if (last_other) begin
          found_valid_o <= 1'b1;
          state_q <= IDLE;
        end else if (got_q) begin
          other_q <= other_q + (ENTRIES_LOG2 + 1)'(1);
          if (entry.kind == kind_q && !entry.flags[BLOCK_FLAGS_HOST_ONLY_BIT]) begin
            found_o <= '{
                there: 1'b1,
                offset: entry.offset[31:0],
                length_of: entry.length[31:0],
                crc: entry.crc
            };
          end
        end
      end
    endcase
    asked_q <= (asked_q || command.valid) && !over;
    if (start_i) begin
      refusal_o.valid <= 1'b0;
      state_q <= HEADER;
      asked_q <= 1'b0;
    end
    if (refuse.valid) begin
      refusal_o <= refuse;
      done_o <= 1'b1;
      state_q <= IDLE;
    end
    if (rst_i) begin
      state_q <= IDLE;
      asked_q <= 1'b0;
      done_o <= 1'b0;
      found_valid_o <= 1'b0;
    end
  end

endmodule

`default_nettype wire
