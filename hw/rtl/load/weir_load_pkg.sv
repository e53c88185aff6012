// Types and pure functions of the table loader.
`default_nettype none

package weir_load_pkg;
  import weir_contract_pkg::*;

  // A word of a bank: by this port every table is written. Which table says what `length_of`, `part` and `address` mean.
  typedef struct packed {
    logic          valid;
    logic          bank;
    logic [4:0]    table_of;
    logic [2:0]    length_of;  // window length: 0 four bytes
    logic [3:0]    part;       // Bloom partition; way; of a row of classes: 0 sets, 1, 2 header table by source, 3, 4 by destination;
                               // of the header table: 0 record, 1, 2 by condition; of lists: 0 entry, 1 summaries (weir_judge_pkg)
    logic [23:0]   address;
    logic [1023:0] data;
  } table_write_t;

  localparam logic [4:0] TO_LISTS = 5'd0;
  localparam logic [4:0] TO_RECORDS = 5'd1;
  localparam logic [4:0] TO_HEADER = 5'd2;
  localparam logic [4:0] TO_GUARDS = 5'd3;
  localparam logic [4:0] TO_PORT_ROWS = 5'd4;
  localparam logic [4:0] TO_ADDRESS_ROWS = 5'd5;
  localparam logic [4:0] TO_BLOOM = 5'd6;
  localparam logic [4:0] TO_EXACT = 5'd7;
  localparam logic [4:0] TO_PORTS = 5'd8;
  localparam logic [4:0] TO_BOUNDARY4 = 5'd9;
  localparam logic [4:0] TO_CLASS4 = 5'd10;
  localparam logic [4:0] TO_BOUNDARY6 = 5'd11;
  localparam logic [4:0] TO_CLASS6 = 5'd12;
  localparam logic [4:0] TO_GEOMETRY = 5'd13;  // from here on registers of the loader
  localparam logic [4:0] TO_LIMITS = 5'd14;
  localparam logic [4:0] TO_ESCAPES = 5'd15;
  localparam logic [4:0] TO_WORDS = 5'd16;

  // Why an image was refused.
  typedef struct packed {
    logic        valid;
    logic [4:0]  error;   // table_error_e
    logic [15:0] block;   // block_type_e; 0: header or directory
    logic [31:0] offset;  // in the image
  } refusal_t;

  function automatic refusal_t refused(input table_error_e error, input logic [15:0] block,
                                       input logic [31:0] offset);
    return '{valid: 1'b1, error: 5'(error), block: block, offset: offset};
  endfunction

  // What the registers say of tables.
  typedef struct packed {
    logic [31:0]      crc;       // directory_crc: it covers every block's checksum
    logic [15:0][7:0] identity;
  } tables_id_t;

  // A piece of the image to be read.
  typedef struct packed {
    logic        valid;      // for one cycle, while nothing is read
    logic [31:0] offset;
    logic [31:0] length_of;  // bytes
    logic [2:0]  word_log2;  // bytes of a word that comes out: 1 to 4; WORDLESS: only checksum and zeros are asked
  } read_command_t;

  localparam logic [2:0] WORDLESS = 3'd7;

  typedef struct packed {
    logic        done;        // for one cycle, behind the last word
    logic        fault;
    logic [31:0] fault_at;    // of the first line that could not be read, from the piece's start
    logic [31:0] crc;
    logic        nonzero;
    logic [31:0] nonzero_at;  // of the first byte that is not 0
  } read_result_t;

  // A block of the directory.
  typedef struct packed {
    logic        there;
    logic [31:0] offset;
    logic [31:0] length_of;
    logic [31:0] crc;
  } found_t;

  // DMA faults are told by the piece of the image that the model reads at once.
  localparam int unsigned DMA_PIECE_LOG2 = 16;

  function automatic logic [31:0] dma_piece(input logic [31:0] at);
    return at & ~32'((1 << DMA_PIECE_LOG2) - 1);
  endfunction

  // CRC-32C of a header that holds its own.
  localparam logic [31:0] CRC_RESIDUE = 32'h4867_4bc7;

  // CRC-32C (RFC 3720 appendix B.4) of a line of 64 bytes by a matrix of parities, one tree of XOR per bit. It is linear: zeros
  // before the first byte change nothing if it starts from 0, and what it starts from is added to the first four bytes.
  localparam int unsigned LINE = 512;

  function automatic logic [31:0] crc_step(input logic [31:0] crc);
    return crc[0] ? {1'b0, crc[31:1]} ^ 32'h82f6_3b78 : {1'b0, crc[31:1]};
  endfunction

  function automatic logic [31:0][LINE-1:0] crc_matrix();
    logic [31:0][LINE-1:0] m;
    logic [31:0] column;
    column = 32'd1;
    for (int unsigned n = 0; n < LINE; n++) begin
      column = crc_step(column);
      for (int unsigned k = 0; k < 32; k++) m[k][LINE-1-n] = column[k];
    end
    return m;
  endfunction

  localparam logic [31:0][LINE-1:0] CRC = crc_matrix();

  // Of a line alone.
  function automatic logic [31:0] crc_line(input logic [LINE-1:0] line);
    logic [31:0] crc;
    for (int unsigned k = 0; k < 32; k++) crc[k] = ^(line & CRC[k]);
    return crc;
  endfunction

  // What a checksum has become 64 bytes later, and one byte later.
  function automatic logic [31:0] crc_later(input logic [31:0] earlier);
    logic [31:0] crc;
    for (int unsigned k = 0; k < 32; k++) crc[k] = ^(earlier & CRC[k][31:0]);
    return crc;
  endfunction

  function automatic logic [31:0] crc_byte(input logic [31:0] earlier);
    logic [31:0] crc;
    crc = earlier;
    for (int unsigned n = 0; n < 8; n++) crc = crc_step(crc);
    return crc;
  endfunction

  // Block types that a device loads, or a host alone.
  function automatic logic known_block(input logic [15:0] kind);
    return kind inside {
      16'(BLOCK_TYPE_GEOMETRY), 16'(BLOCK_TYPE_HASH), 16'(BLOCK_TYPE_LIMITS),
      [16'(BLOCK_TYPE_BLOOM4) : 16'(BLOCK_TYPE_BLOOM8)], [16'(BLOCK_TYPE_EXACT4) : 16'(BLOCK_TYPE_EXACT8)],
      16'(BLOCK_TYPE_LISTS), 16'(BLOCK_TYPE_RECORDS), 16'(BLOCK_TYPE_HEADER_TABLE),
      16'(BLOCK_TYPE_GUARD_TABLE), 16'(BLOCK_TYPE_GUARD_PARAMETERS), 16'(BLOCK_TYPE_PORT_CLASSES),
      16'(BLOCK_TYPE_ADDRESS_CLASSES_V4), 16'(BLOCK_TYPE_ADDRESS_CLASSES_V6), 16'(BLOCK_TYPE_PORT_SETS),
      16'(BLOCK_TYPE_ADDRESS_SETS), 16'(BLOCK_TYPE_PROVENANCE), 16'(BLOCK_TYPE_CERTIFICATE)
    };
  endfunction

  // Some frame can satisfy the record (record.rs, can_hold).
  function automatic logic can_hold(input record_t r);
    return (r.scopes & SCOPES_ALL) != '0 && (r.transports & TRANSPORT_MASK_ALL) != '0 &&
           (r.versions & IP_MASK_ALL) != '0 && (r.directions & DIRECTION_MASK_ALL) != '0 &&
           (r.states & STATE_MASK_ALL) != '0 && r.class_mask != '0 && r.payload_min <= r.payload_max &&
           r.icmp_type_min <= r.icmp_type_max && r.icmp_code_min <= r.icmp_code_max &&
           r.protocol_min <= r.protocol_max && r.position_min <= r.position_max &&
           (r.tcp_flags_value & ~r.tcp_flags_mask) == '0;
  endfunction

  // The record holds for every frame whose scopes are open (is_always without its scope).
  function automatic logic unconditional(input record_t r);
    return r.class_mask == '1 && r.flags == '0 && (r.transports | ~TRANSPORT_MASK_ALL) == '1 &&
           (r.versions | ~IP_MASK_ALL) == '1 && (r.directions | ~DIRECTION_MASK_ALL) == '1 &&
           (r.states | ~STATE_MASK_ALL) == '1 && r.tcp_flags_mask == '0 && r.tcp_flags_value == '0 &&
           r.source_ports == '0 && r.destination_ports == '0 && r.source_addresses == '0 &&
           r.destination_addresses == '0 && r.payload_min == '0 && r.payload_max == '1 &&
           r.icmp_type_min == '0 && r.icmp_type_max == '1 && r.icmp_code_min == '0 && r.icmp_code_max == '1 &&
           r.protocol_min == '0 && r.protocol_max == '1 && r.reverse_max == '1 &&
           r.position_min == 32'sh8000_0000 && r.position_max == 32'sh7fff_ffff &&
           r.anchor_value == '0 && r.anchor_mask == '0;
  endfunction

endpackage

`default_nettype wire
