// Text facts of a payload: hw/contract/src/facts.rs in hardware.
`default_nettype none

package weir_facts_pkg;
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;

  // Loaded words, and differences of a number to the payload's length (GuardParameters).
  typedef struct packed {
    logic [31:0]                  number_end;
    logic [31:0]                  number_low;
    logic [GUARD_WORDS-1:0][31:0] masks;
    logic [GUARD_WORDS-1:0][31:0] values;
  } words_t;

  // Sets of bytes that escapes are compared with, and words.
  typedef struct packed {
    words_t       words;
    logic [255:0] uri_percent;
    logic [255:0] equals;
    logic [255:0] percent;
  } escape_sets_t;

  // A byte that may not be there.
  typedef struct packed {
    logic       known;
    logic [7:0] value;
  } maybe_t;

  // Where in a possible header line the scanner is.
  typedef enum logic [2:0] {
    LINE_NAME       = 3'd0,
    LINE_NAME_SPACE = 3'd1,
    LINE_COLON      = 3'd2,
    LINE_VALUE      = 3'd3,
    LINE_REST       = 3'd4
  } line_e;

  // What a run of bytes does to the scanner: from each state, the state behind it and whether the line was odd.
  typedef struct packed {
    logic [4:0]      odd;
    logic [4:0][2:0] next;
  } line_map_t;

  localparam line_map_t LINE_KEEP = '{odd: '0, next: {3'd4, 3'd3, 3'd2, 3'd1, 3'd0}};
  // Before the first byte that is known every line begins.
  localparam line_map_t LINE_BEGIN = '{odd: '0, next: '0};

  function automatic logic is_hex(input logic [7:0] b);
    return b inside {[8'h30 : 8'h39], [8'h41 : 8'h46], [8'h61 : 8'h66]};
  endfunction

  function automatic logic [3:0] hex(input logic [7:0] b);
    return b[6] ? b[3:0] + 4'd9 : b[3:0];
  endfunction

  // RFC 9110 section 5.6.2.
  function automatic logic is_token(input logic [7:0] b);
    return b inside {[8'h30 : 8'h39], [8'h41 : 8'h5a], [8'h61 : 8'h7a], 8'h21, [8'h23 : 8'h27], 8'h2a,
                     8'h2b, 8'h2d, 8'h2e, 8'h5e, 8'h5f, 8'h60, 8'h7c, 8'h7e};
  endfunction

  // Space, HT, VT, FF.
  function automatic logic is_white(input logic [7:0] b);
    return b inside {8'h20, 8'h09, 8'h0b, 8'h0c};
  endfunction

  function automatic line_map_t line_step(input logic [7:0] c);
    line_map_t m;
    logic white;
    white = is_white(c);
    m.odd = '0;
    for (int unsigned s = 0; s < 5; s++) m.next[s] = LINE_REST;
    if (c == 8'h0a) begin
      m.next = '0;
      m.odd[LINE_COLON] = 1'b1;
      m.odd[LINE_VALUE] = 1'b1;
    end else begin
      if (is_token(c)) m.next[LINE_NAME] = LINE_NAME;
      else if (c == 8'h3a) m.next[LINE_NAME] = LINE_COLON;
      else if (white) m.next[LINE_NAME] = LINE_NAME_SPACE;
      if (white) m.next[LINE_NAME_SPACE] = LINE_NAME_SPACE;
      m.odd[LINE_NAME_SPACE] = c == 8'h3a;
      if (c == 8'h20) m.next[LINE_COLON] = LINE_VALUE;
      else m.odd[LINE_COLON] = 1'b1;
      m.odd[LINE_VALUE] = white || c == 8'h0d;
    end
    return m;
  endfunction

  // One run of bytes behind another.
  function automatic line_map_t line_join(input line_map_t f, input line_map_t g);
    line_map_t m;
    for (int unsigned s = 0; s < 5; s++) begin
      m.next[s] = g.next[f.next[s]];
      m.odd[s]  = f.odd[s] || g.odd[f.next[s]];
    end
    return m;
  endfunction

  // The facts whose last byte is `c`, behind `a` and `b`.
  function automatic logic [63:0] three(input escape_sets_t sets, input maybe_t a, input maybe_t b,
                                        input logic [7:0] c);
    logic [63:0] g;
    logic [7:0] escaped;
    logic percent, equals;
    g = '0;
    g[GUARD_URI_PLUS] = c == 8'h2b;
    g[GUARD_URI_BACKSLASH] = c == 8'h5c;
    g[GUARD_URI_HIGH_BYTE] = c[7];
    g[GUARD_URI_CONTROL] = (c < 8'h20 && !(c inside {8'h09, 8'h0a, 8'h0d})) || c == 8'h7f;
    if (c == 8'h2f && b.known && b.value == 8'h2f) begin
      if (a.known && a.value == 8'h3a) g[GUARD_URI_ABSOLUTE] = 1'b1;
      else g[GUARD_URI_DOUBLE_SLASH] = 1'b1;
    end
    g[GUARD_URI_DOT_SEGMENT] = b.known && b.value == 8'h2e && a.known &&
        a.value inside {8'h2f, 8'h5c} &&
        c inside {8'h2e, 8'h2f, 8'h5c, 8'h3f, 8'h23, 8'h3b, 8'h25, 8'h20, 8'h09, 8'h0d, 8'h0a, 8'h00};
    g[GUARD_REQUEST_SPACE_ODD] = c == 8'h09 ||
        (c == 8'h20 && (!b.known || b.value inside {8'h20, 8'h0a}));
    g[GUARD_HEADER_FOLD] = c inside {8'h20, 8'h09} && b.known && b.value inside {8'h0d, 8'h0a};
    g[GUARD_HEADER_SPACE_ODD] = (c inside {8'h0d, 8'h0a} && b.known && is_white(b.value)) ||
        (c inside {8'h0b, 8'h0c} && b.known && b.value == 8'h0a);
    g[GUARD_LINE_END_ODD] = (c == 8'h0a) != (b.known && b.value == 8'h0d);
    g[GUARD_EQUALS_ESCAPE] = b.known && b.value == 8'h3d && c inside {8'h20, 8'h09, 8'h0d, 8'h0a};
    g[GUARD_URI_PERCENT_ODD] = b.known && b.value == 8'h25 && !is_hex(c);
    percent = a.known && a.value == 8'h25 && b.known && is_hex(b.value);
    equals = a.known && a.value == 8'h3d && b.known && is_hex(b.value);
    escaped = {hex(b.value), hex(c)};
    if (is_hex(c)) begin
      g[GUARD_PERCENT_ESCAPE] = percent && sets.percent[escaped];
      g[GUARD_URI_PERCENT_ESCAPE] = percent && sets.uri_percent[escaped];
      if (equals && sets.equals[escaped]) g[GUARD_EQUALS_ESCAPE] = 1'b1;
    end else if (percent) begin
      g[GUARD_URI_PERCENT_ODD] = 1'b1;
    end
    return g;
  endfunction

  // Some loaded word ends with the last of four bytes; `b` folded, [3] the last.
  function automatic logic word_ends(input words_t words, input maybe_t [3:0] b);
    logic found, same;
    found = 1'b0;
    for (int unsigned n = 0; n < 32'(GUARD_WORDS); n++) begin
      same = words.masks[n] != '0;
      for (int unsigned k = 0; k < 4; k++) begin
        if (words.masks[n][8*k+:8] != '0 &&
            (!b[k].known || ((b[k].value ^ words.values[n][8*k+:8]) & words.masks[n][8*k+:8]) != '0)) begin
          same = 1'b0;
        end
      end
      found = found || same;
    end
    return found;
  endfunction

  // The number differs from the payload's length as loaded.
  function automatic logic number_tells(input words_t words, input logic [31:0] number,
                                        input place_t length);
    logic signed [33:0] difference;
    difference = $signed({2'b00, number}) - $signed(34'(length));
    return difference >= 34'($signed(words.number_low)) && difference < 34'($signed(words.number_end));
  endfunction

endpackage

`default_nettype wire
