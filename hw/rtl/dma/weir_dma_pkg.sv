// Types and pure functions of what the device writes to host memory.
`default_nettype none

package weir_dma_pkg;
  import weir_contract_pkg::*;

  // Set-up registers of a queue, as far as writing needs them.
  typedef struct packed {
    logic [63:0] history_base;
    logic [63:0] history_size;  // a power of two
    logic [63:0] descriptor_base;
    logic [31:0] descriptor_entries;  // a power of two
    logic [63:0] flow_record_base;
    logic [31:0] flow_record_entries;  // a power of two
    logic [63:0] status_base;
  } queue_config_t;

  typedef enum logic [1:0] {
    WRITE_RECORD      = 2'd0,  // a history record: the frame's beats follow
    WRITE_DESCRIPTOR  = 2'd1,
    WRITE_FLOW_RECORD = 2'd2,
    WRITE_TX_CONSUMER = 2'd3   // how far the TX ring was taken: `body`
  } write_kind_e;

  // One store.
  typedef struct packed {
    logic         ending;   // the last of its item
    logic [6:0]   bytes;    // from the address on; the others of `data` are 0
    logic [63:0]  address;
    logic [511:0] data;
  } store_t;

  // Offsets in QueueStatus.
  localparam logic [63:0] STATUS_RESERVED = 64'd0;
  localparam logic [63:0] STATUS_WRITTEN = 64'd8;
  localparam logic [63:0] STATUS_DESCRIPTORS = 64'd16;
  localparam logic [63:0] STATUS_FLOW_RECORDS = 64'd20;
  localparam logic [63:0] STATUS_TX_CONSUMER = 64'd24;

  // CRC-32C (RFC 3720 appendix B.4) of the 60 bytes before a history header's own. It is linear: each of its bits is the
  // parity of some of theirs, beside what the start value leaves. A matrix of parities is one tree of XOR per bit; the bits
  // fed one after the other are a chain of 480 that no tool for synthesis unravels.
  typedef struct packed {
    logic [31:0]        start;  // of all zeros
    logic [31:0][479:0] rows;   // by bit of the CRC: the bits it depends on
  } crc_matrix_t;

  function automatic logic [31:0] crc_step(input logic [31:0] crc);
    return crc[0] ? {1'b0, crc[31:1]} ^ 32'h82f6_3b78 : {1'b0, crc[31:1]};
  endfunction

  function automatic crc_matrix_t crc_matrix();
    crc_matrix_t m;
    logic [31:0] start, column;
    start  = '1;
    column = 32'd1;
    for (int unsigned n = 0; n < 480; n++) begin
      start  = crc_step(start);
      column = crc_step(column);
      for (int unsigned k = 0; k < 32; k++) m.rows[k][479-n] = column[k];
    end
    m.start = start;
    return m;
  endfunction

  localparam crc_matrix_t HEADER_CRC = crc_matrix();

  function automatic logic [31:0] header_crc(input logic [479:0] bits);
    logic [31:0] crc;
    for (int unsigned k = 0; k < 32; k++) begin
      crc[k] = HEADER_CRC.start[k] ^ (^(bits & HEADER_CRC.rows[k]));
    end
    return ~crc;
  endfunction

  function automatic history_header_t sealed(input history_header_t header);
    history_header_t h;
    logic [511:0] bits;
    h = header;
    h.check = '0;
    bits = h;
    h.check = header_crc(bits[479:0]);
    return h;
  endfunction

endpackage

`default_nettype wire
