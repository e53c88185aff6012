// Types and pure functions of the literal filter: hw-sim/src/literal in hardware.
`default_nettype none

package weir_match_pkg;
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;

  localparam int unsigned LENGTHS = 5;    // window lengths of the contract: 4 to 8 bytes
  localparam int unsigned SHORTEST = 4;
  localparam int unsigned REACH = 7;      // bytes of a window behind its first

  // Positions of the indices: of the first partition in the product of four bytes, of the others in the middle of the
  // whole product (hash.rs).
  localparam int unsigned PREFIX_SHIFT = 40;
  localparam int unsigned BLOOM_SHIFT[4] = '{0, 11, 22, 33};
  localparam int unsigned BUCKET_SHIFT[2] = '{5, 29};

  // What a bank says of one window length; `partitions` 0: not in use.
  typedef struct packed {
    logic [2:0]  partitions;
    logic [4:0]  bits_log2;
    logic [4:0]  buckets_log2;
    logic [63:0] multiplier;
  } window_geometry_t;

  typedef struct packed {
    window_geometry_t [LENGTHS-1:0] lengths;
    logic [31:0]                    candidates;  // most of a frame
  } match_geometry_t;

  // What the scan is told of a frame, constant over its beats.
  typedef struct packed {
    logic            bank;        // of the tables
    place_t          start;       // payload within the frame: the first byte
    place_t          last;        // and the one behind it
    logic [2:0]      tail_count;  // folded bytes of the stream before the payload
    logic [6:0][7:0] tail;        // [0] is the first
  } scan_context_t;

  // A window that every Bloom partition of its length holds.
  typedef struct packed {
    logic              bank;
    logic [2:0]        length_of;  // 0: four bytes
    logic signed [20:0] position;  // from the payload's start
    logic [7:0][7:0]   window;     // folded; bytes behind the window too
    logic [7:0]        upper;      // byte was upper case
    logic [7:0]        known;      // byte is of the payload: its case is known
  } candidate_t;

  // Totals of a frame.
  typedef struct packed {
    logic [LENGTHS-1:0][31:0] candidates;
    logic                     limit;  // there were more than the limit
  } scan_total_t;

  // Result of the filter: a hit, or the end of a frame.
  typedef struct packed {
    logic               ending;
    scan_total_t        total;       // of an ending
    logic signed [20:0] position;    // of a hit
    logic [31:0]        list_start;
    logic [15:0]        list_count;
  } hit_t;

  function automatic logic is_upper(input logic [7:0] b);
    return b >= 8'h41 && b <= 8'h5a;
  endfunction

  function automatic logic [7:0] fold(input logic [7:0] b);
    return is_upper(b) ? b | 8'h20 : b;
  endfunction

  function automatic logic [63:0] fold_word(input logic [63:0] word);
    logic [63:0] folded;
    for (int unsigned n = 0; n < 8; n++) folded[n*8+:8] = fold(word[n*8+:8]);
    return folded;
  endfunction

  // Carry-less product of a byte and a multiplier.
  function automatic logic [70:0] byte_product(input logic [7:0] b, input logic [63:0] multiplier);
    logic [70:0] product;
    product = '0;
    for (int unsigned n = 0; n < 8; n++) begin
      if (b[n]) product = product ^ (71'(multiplier) << n);
    end
    return product;
  endfunction

  // Middle of the product of a window of `length_of + 4` bytes, given as the products of its bytes.
  function automatic logic [63:0] middle_of(input logic [7:0][70:0] products,
                                            input logic [2:0] length_of);
    logic [126:0] product;
    product = '0;
    for (int unsigned n = 0; n < 8; n++) begin
      if (3'(n) < 3'd4 || n < 32'(length_of) + SHORTEST) begin
        product = product ^ (127'(products[n]) << (8 * n));
      end
    end
    return 64'(product >> (8 * (32'(length_of) + SHORTEST) - 24));
  endfunction

endpackage

`default_nettype wire
