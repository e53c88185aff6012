// Which bank judges, and what the other one holds.
//
// Function: hw-sim's Banks, of two banks. The one that does not judge holds nothing, tables that are ready (the shadow) or those
// that judged before (the previous ones); an epoch that is written makes it the one that judges, whichever of these it holds.
// Frames take active_o with them, so a change is between two of them. Epochs grow and never come back. Latency: a cycle.
// Throughput: one of each request per cycle. Back-pressure: none.
`default_nettype none

module weir_epochs
  import weir_load_pkg::*;
#(
    parameter int unsigned EPOCH_BITS = 32  // as the registers have them; fewer for proofs
) (
    input  wire logic        clk_i,
    input  wire logic        rst_i,
    input  wire logic        begin_i,       // a load begins: what was ready no longer is
    input  wire logic        overwrite_i,   // the bank that does not judge is written from the next cycle on
    input  wire logic        ready_i,       // it is complete
    input  wire tables_id_t  tables_i,      // with ready_i
    input  wire logic        activate_i,
    input  wire logic [EPOCH_BITS-1:0] epoch_i,       // with activate_i
    output logic             spare_o,       // the bank that does not judge
    output logic             valid_o,       // a bank judges
    output logic             bank_o,        // it
    output logic [EPOCH_BITS-1:0]      epoch_o,
    output logic [EPOCH_BITS-1:0]      shadow_o,      // 0 without
    output logic [EPOCH_BITS-1:0]      previous_o,    // 0 without
    output tables_id_t       tables_o,      // of the tables that judge
    output logic             changed_o,     // for one cycle, behind activate_i
    output logic             unknown_o      // the same: the epoch is not resident
);

  logic other_valid_q, other_ready_q, same, other;
  logic [EPOCH_BITS-1:0] other_epoch_q, newest_q, next;
  tables_id_t other_q;

  assign spare_o = valid_o && !bank_o;
  assign shadow_o = other_valid_q && other_ready_q ? other_epoch_q : '0;
  assign previous_o = other_valid_q && !other_ready_q ? other_epoch_q : '0;
  assign next = newest_q == '1 ? EPOCH_BITS'(1) : newest_q + EPOCH_BITS'(1);
  assign same = valid_o && epoch_o == epoch_i;
  assign other = other_valid_q && other_epoch_q == epoch_i && !overwrite_i && !(begin_i && other_ready_q);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid_o <= 1'b0;
      bank_o <= 1'b0;
      epoch_o <= '0;
      tables_o <= '0;
      other_valid_q <= 1'b0;
      newest_q <= '0;
      changed_o <= 1'b0;
      unknown_o <= 1'b0;
    end else begin
      changed_o <= activate_i && !same && other;
      unknown_o <= activate_i && !same && !other;
      if (overwrite_i || (begin_i && other_ready_q)) other_valid_q <= 1'b0;
      if (ready_i) begin
        other_valid_q <= 1'b1;
        other_ready_q <= 1'b1;
        other_epoch_q <= next;
        other_q <= tables_i;
        newest_q <= next;
      end
      if (activate_i && !same && other) begin
        valid_o <= 1'b1;
        bank_o <= spare_o;
        epoch_o <= other_epoch_q;
        tables_o <= other_q;
        other_valid_q <= valid_o;
        other_ready_q <= 1'b0;
        other_epoch_q <= epoch_o;
        other_q <= tables_o;
      end
    end
  end

endmodule

`default_nettype wire
