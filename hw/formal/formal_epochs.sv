// weir_epochs: frames are judged by complete tables that do not change under them, and epochs never come back.
`default_nettype none

module formal_epochs
  import weir_load_pkg::*;
#(
    parameter int unsigned BITS = 4
) (
    input wire logic        clk_i,
    input wire logic        rst_i,
    input wire logic        begin_i,
    input wire logic        overwrite_i,
    input wire logic        ready_i,
    input wire logic        failed_i,     // a load ends otherwise
    input wire logic        activate_i,
    input wire logic [BITS-1:0] epoch_i
);

  logic spare, valid, bank, changed, unknown;
  logic [BITS-1:0] epoch, shadow, previous;
  tables_id_t tables;

  weir_epochs #(
      .EPOCH_BITS(BITS)
  ) dut (
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .begin_i    (begin_i),
      .overwrite_i(overwrite_i),
      .ready_i    (ready_i),
      .tables_i   ('0),
      .activate_i (activate_i),
      .epoch_i    (epoch_i),
      .spare_o    (spare),
      .valid_o    (valid),
      .bank_o     (bank),
      .epoch_o    (epoch),
      .shadow_o   (shadow),
      .previous_o (previous),
      .tables_o   (tables),
      .changed_o  (changed),
      .unknown_o  (unknown)
  );

  logic started_q = 1'b0;
  logic loading_q, writing_q, written_q;  // a load is under way; a bank is written: this one
  logic [1:0] whole_q;                    // banks whose tables are complete
  logic [1:0][BITS-1:0] held_q;               // and their epochs
  logic valid_q, bank_q, asked_q;
  logic [BITS-1:0] epoch_q, newest_q, wanted_q;

  always_ff @(posedge clk_i) begin
    started_q <= 1'b1;
    loading_q <= !rst_i && (loading_q || begin_i) && !ready_i && !failed_i;
    writing_q <= !rst_i && (writing_q || overwrite_i) && !ready_i && !failed_i;
    valid_q <= valid;
    bank_q <= bank;
    epoch_q <= epoch;
    asked_q <= activate_i && !rst_i;
    wanted_q <= epoch_i;
    if (overwrite_i) begin
      written_q <= spare;
      whole_q[spare] <= 1'b0;
    end
    if (ready_i) begin
      whole_q[written_q] <= 1'b1;
      held_q[written_q] <= newest_q + BITS'(1);
      newest_q <= newest_q + BITS'(1);
    end
    if (rst_i) begin
      whole_q  <= '0;
      newest_q <= '0;
    end

    // What the loader does: a load begins, writes the spare bank, is over.
    assume (rst_i || started_q);
    assume (!begin_i || !loading_q);
    assume (!overwrite_i || (loading_q && !writing_q));
    assume (!ready_i || (writing_q && !overwrite_i && !failed_i));
    assume (!failed_i || loading_q);
    // (Epochs go around after as many loads as there are.)
    assume (newest_q < BITS'((1 << BITS) - 2));

    if (started_q && !rst_i) begin
      // Frames are judged by complete tables, of the epoch they are told.
      if (valid) assert (whole_q[bank] && held_q[bank] == epoch && epoch != '0);
      assert (spare == (valid && !bank));
      // The bank that is written neither judges nor can be made to.
      if (writing_q) assert (spare == written_q && shadow == '0 && previous == '0);
      // What can be made to judge is complete, and of another epoch.
      if (shadow != '0) assert (whole_q[spare] && held_q[spare] == shadow && shadow > epoch && previous == '0);
      if (previous != '0) assert (whole_q[spare] && held_q[spare] == previous && valid && previous != epoch);
      if (valid) assert (epoch <= newest_q);
      assert (shadow <= newest_q && previous <= newest_q);
      // Nothing changes but by the host's word, and then to what it named.
      if (epoch != epoch_q || bank != bank_q || valid != valid_q) assert (changed || !asked_q && epoch == '0);
      if (changed) assert (asked_q && epoch == wanted_q && previous == (valid_q ? epoch_q : '0) && bank != bank_q | !valid_q);
      if (unknown) assert (asked_q && epoch == epoch_q && (!valid || wanted_q != epoch));
    end
  end

endmodule

`default_nettype wire
