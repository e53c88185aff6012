// Guards that soundness needs: does each lead to a record that always holds.
//
// Function: lists and guards' ranges are kept as they come; then each list of such a guard is followed until a record is found
// that is enough for it (hw-sim's guards). Latency and throughput: 2 cycles per guard, 3 per list entry looked at.
// Back-pressure: none.
`default_nettype none

module weir_load_guards
  import weir_contract_pkg::*;
#(
    parameter int unsigned LISTS_LOG2 = 13,
    parameter int unsigned RECORDS_LOG2 = 12
) (
    input  wire logic                     clk_i,
    input  wire logic                     rst_i,
    input  wire logic                     list_i,       // an entry of the lists
    input  wire logic [LISTS_LOG2-1:0]    list_at_i,
    input  wire logic [RECORDS_LOG2-1:0]  list_id_i,
    input  wire logic                     range_i,      // a guard's range of them, within them
    input  wire logic [5:0]               range_at_i,
    input  wire list_range_t              range_of_i,
    input  wire logic                     start_i,
    output logic                          done_o,       // for one cycle
    output logic                          missing_o,    // then: guard_o leads to none
    output logic [5:0]                    guard_o,
    input  wire logic                     look_i,       // while nothing is followed: read this entry of the lists
    input  wire logic [LISTS_LOG2-1:0]    look_at_i,
    // records, read a cycle later
    output logic [RECORDS_LOG2-1:0]       record_o,
    input  wire logic                     holds_i,      // it always holds
    input  wire logic                     rests_i       // it always holds, unless the flow is encrypted
);

  typedef enum logic [2:0] {IDLE, RANGE, RANGE_SAYS, ENTRY, RECORD, RECORD_SAYS} state_e;

  state_e state_q;
  list_range_t range;
  logic [LISTS_LOG2-1:0] at_q;
  logic [31:0] left_q;
  logic last, enough;

  assign last = guard_o == 6'd63;
  assign enough = GUARDS_REST_ONCE_ENCRYPTED[guard_o] ? rests_i : holds_i;

  weir_ram_1r1w #(
      .ADDRESS_BITS(LISTS_LOG2),
      .DATA_BITS   (RECORDS_LOG2)
  ) lists (
      .clk_i          (clk_i),
      .write_i        (list_i),
      .write_address_i(list_at_i),
      .write_data_i   (list_id_i),
      .read_address_i (look_i ? look_at_i : at_q),
      .read_data_o    (record_o)
  );

  weir_ram_1r1w #(
      .ADDRESS_BITS(6),
      .DATA_BITS   (64)
  ) ranges (
      .clk_i          (clk_i),
      .write_i        (range_i),
      .write_address_i(range_at_i),
      .write_data_i   (range_of_i),
      .read_address_i (guard_o),
      .read_data_o    (range)
  );

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    unique case (state_q)
      IDLE: begin
        missing_o <= 1'b0;
        if (start_i) begin
          guard_o <= '0;
          state_q <= RANGE;
        end
      end
      RANGE: state_q <= RANGE_SAYS;
      RANGE_SAYS: begin
        at_q <= range.start[LISTS_LOG2-1:0];
        left_q <= range.count;
        state_q <= ENTRY;
        if (!GUARDS_ALWAYS[guard_o]) begin
          guard_o <= guard_o + 6'd1;
          done_o  <= last;
          state_q <= last ? IDLE : RANGE;
        end
      end
      ENTRY: begin
        at_q <= at_q + LISTS_LOG2'(1);
        left_q <= left_q - 32'd1;
        state_q <= RECORD;
        if (left_q == '0) begin
          missing_o <= 1'b1;
          done_o <= 1'b1;
          state_q <= IDLE;
        end
      end
      RECORD: state_q <= RECORD_SAYS;
      default: begin  // RECORD_SAYS
        state_q <= ENTRY;
        if (enough) begin
          guard_o <= guard_o + 6'd1;
          done_o  <= last;
          state_q <= last ? IDLE : RANGE;
        end
      end
    endcase
    if (rst_i) begin
      state_q <= IDLE;
      done_o  <= 1'b0;
    end
  end

endmodule

`default_nettype wire
