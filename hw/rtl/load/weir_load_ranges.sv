// Disjoint ranges of addresses from prefixes that nest: what weir_range_search is loaded with.
//
// Function: hw-sim's AddressClasses::new. Prefixes come sorted by address and length; those that are open stand on a stack. Where
// one begins, and behind where one ends, a range begins; one that begins where another does replaces it, one with the class
// before it is none. Behind the last one the class is repeated, and boundaries are all ones. Latency: 2 cycles. Throughput: a
// prefix in 2 cycles, and 2 for each range written and 2 for each prefix closed. Back-pressure: ready_o.
`default_nettype none

module weir_load_ranges
  import weir_load_pkg::*;
#(
    parameter int unsigned FOUR_LOG2 = 15,  // ranges of IPv4 addresses
    parameter int unsigned SIX_LOG2 = 8     // ranges of IPv6 addresses
) (
    input  wire logic         clk_i,
    input  wire logic         rst_i,
    input  wire logic         start_i,     // range 0 begins
    input  wire logic         six_i,       // constant from start_i to done_o; IPv4 addresses are the low 32 bits
    input  wire logic         write_i,     // the same: ranges are written, else only counted
    output logic              ready_o,
    input  wire logic         valid_i,
    input  wire logic [127:0] first_i,
    input  wire logic [127:0] last_i,
    input  wire logic [15:0]  class_i,
    input  wire logic         end_i,       // for one cycle while ready_o: there are no more
    output logic              done_o,      // for one cycle
    output logic              over_o,      // then: there are more ranges than fit
    output table_write_t      write_o      // without bank
);

  typedef enum logic [2:0] {
    IDLE,
    CLOSE,   // prefixes that end before this one begins, or all
    POP,     // what the closed one lay in
    OPEN,
    LAST,
    FILL,
    CLASS    // the second word of a range
  } state_e;

  // Prefixes nest 129 deep at most.
  localparam int unsigned DEPTH_LOG2 = 8;
  localparam int unsigned COUNT = (FOUR_LOG2 > SIX_LOG2 ? FOUR_LOG2 : SIX_LOG2) + 1;

  typedef struct packed {
    logic [127:0] last;
    logic [15:0]  class_of;
  } open_t;

  typedef struct packed {
    logic [127:0] first;
    logic [15:0]  class_of;
  } range_t;

  state_e state_q, back_q;
  logic [DEPTH_LOG2-1:0] depth_q;
  open_t top_q, below;
  range_t prefix_q, range_q, pushed;
  logic [127:0] last_q, end_q, highest, boundary;
  logic [COUNT-1:0] count_q, most;
  logic [15:0] write_class_q;
  logic ended_q, closes, push, emit, over_q, fill;

  assign highest = six_i ? '1 : 128'(32'hffff_ffff);
  assign most = six_i ? COUNT'(1 << SIX_LOG2) : COUNT'(1 << FOUR_LOG2);
  assign closes = depth_q != '0 && (ended_q || top_q.last < prefix_q.first);
  assign ready_o = state_q == IDLE;

  // ---- stack: the uppermost is at hand
  weir_ram_1r1w #(
      .ADDRESS_BITS(DEPTH_LOG2),
      .DATA_BITS   ($bits(open_t))
  ) stack (
      .clk_i          (clk_i),
      .write_i        (state_q == OPEN),
      .write_address_i(depth_q),
      .write_data_i   (top_q),
      .read_address_i (depth_q - DEPTH_LOG2'(1)),
      .read_data_o    (below)
  );

  // ---- a range begins: what stands before it is complete, unless it begins at the same address
  always_comb begin
    push = 1'b0;
    pushed = prefix_q;
    if (state_q == POP && end_q != highest) begin
      push = 1'b1;
      pushed.first = end_q + 128'd1;
      pushed.class_of = depth_q > DEPTH_LOG2'(1) ? below.class_of : '0;
    end else if (state_q == OPEN) begin
      push = 1'b1;
    end
    emit = (push && pushed.first != range_q.first && pushed.class_of != range_q.class_of) || state_q == LAST;
    fill = state_q == FILL && count_q != most && write_i;
    boundary = fill ? highest : range_q.first;
  end

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    write_o <= '0;
    write_o.table_of <= six_i ? TO_BOUNDARY6 : TO_BOUNDARY4;
    write_o.address <= 24'(count_q);
    write_o.data <= 1024'(boundary);
    // Range 0 begins at 0 and has no boundary.
    write_o.valid <= write_i && ((emit && !over_q && count_q != '0 && count_q != most) || fill);

    if (push) begin
      if (pushed.first == range_q.first) range_q.class_of <= pushed.class_of;
      else if (pushed.class_of != range_q.class_of) range_q <= pushed;
    end
    if (emit || fill) begin
      // The class of what is written now.
      write_class_q <= range_q.class_of;
    end

    unique case (state_q)
      IDLE: begin
        prefix_q <= '{first: first_i, class_of: class_i};
        last_q <= last_i;
        ended_q <= end_i;
        if (valid_i || end_i) state_q <= CLOSE;
      end
      CLOSE: begin
        end_q <= top_q.last;
        if (closes) state_q <= POP;
        else state_q <= ended_q ? LAST : OPEN;
      end
      POP: begin
        top_q <= below;
        depth_q <= depth_q - DEPTH_LOG2'(1);
        back_q <= CLOSE;
        state_q <= emit ? CLASS : CLOSE;
      end
      OPEN: begin
        top_q <= '{last: last_q, class_of: prefix_q.class_of};
        depth_q <= depth_q + DEPTH_LOG2'(1);
        back_q <= IDLE;
        state_q <= emit ? CLASS : IDLE;
      end
      LAST: begin
        back_q <= FILL;
        state_q <= CLASS;
      end
      FILL: begin
        back_q <= FILL;
        if (fill) begin
          state_q <= CLASS;
        end else begin
          done_o  <= 1'b1;
          state_q <= IDLE;
        end
      end
      default: begin  // CLASS
        write_o.table_of <= six_i ? TO_CLASS6 : TO_CLASS4;
        write_o.data <= 1024'(write_class_q);
        write_o.valid <= write_i && !over_q;
        if (count_q == most) over_q <= 1'b1;
        else count_q <= count_q + COUNT'(1);
        if (count_q == most) write_o.valid <= 1'b0;
        state_q <= back_q;
      end
    endcase
    if (start_i) begin
      depth_q <= '0;
      range_q <= '0;
      count_q <= '0;
      over_q <= 1'b0;
      ended_q <= 1'b0;
    end
    if (rst_i) begin
      state_q <= IDLE;
      done_o <= 1'b0;
      write_o.valid <= 1'b0;
    end
  end

  assign over_o = over_q;

  if (FOUR_LOG2 > 16 || SIX_LOG2 > 16) begin : g_check
    $error("a range's number has at most 16 bits");
  end

endmodule

`default_nettype wire
