// weir_commands: the entries of a ring are read in their order, each once, and taken before the next is read.
`default_nettype none

module formal_commands
  import weir_contract_pkg::*;
  import weir_verdict_pkg::*;
  import weir_dma_pkg::*;
  import weir_core_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input wire logic                     clk_i,
    input wire logic                     rst_i,
    input wire logic                     go_i,
    input wire core_config_t             config_i,
    input wire queue_host_t [QUEUES-1:0] host_i,
    input wire logic [QUEUES-1:0][31:0]  descriptors_free_i,
    input wire logic [QUEUES-1:0]        records_on_i,
    input wire logic [QUEUES-1:0][31:0]  records_free_i,
    input wire logic [63:0]              now_i,
    input wire read_answer_t             read_i,
    input wire logic                     hash_valid_i,
    input wire logic [63:0]              hash_i,
    input wire table_answer_t            table_i,
    input wire verdict_answer_t          verdict_i,
    input wire identity_t                identity_i,
    input wire logic                     life_done_i,
    input wire logic                     answer_valid_i,
    input wire logic                     answer_open_i,
    input wire logic                     write_ready_i,
    input wire logic                     egress_ready_i
);

  logic done, pending, hash_valid, answer;
  read_request_t read;
  flow_key_t hash_key;
  table_request_t table_of;
  verdict_request_t verdict;
  identity_write_t identity;
  logic [31:0] identity_slot;
  life_request_t life;
  logic [63:0] answer_number;
  write_request_t write;
  egress_t egress;
  logic [QUEUES-1:0][31:0] consumer;
  error_t error;
  count_t count;

  weir_commands #(
      .QUEUES_LOG2(QUEUES_LOG2)
  ) dut (
      .*,
      .done_o         (done),
      .pending_o      (pending),
      .read_o         (read),
      .hash_valid_o   (hash_valid),
      .hash_key_o     (hash_key),
      .table_o        (table_of),
      .verdict_o      (verdict),
      .identity_o     (identity),
      .identity_slot_o(identity_slot),
      .life_o         (life),
      .answer_o       (answer),
      .answer_number_o(answer_number),
      .write_o        (write),
      .egress_o       (egress),
      .consumer_o     (consumer),
      .error_o        (error),
      .count_o        (count)
  );

  logic started_q = 1'b0;
  logic [QUEUES-1:0][31:0] before_q, producer_q;
  logic reset_q, taken_q, working_q, fetched_q;
  logic [5:0] taken_queue_q;
  logic [QUEUES-1:0] steps;

  always_comb begin
    for (int unsigned q = 0; q < QUEUES; q++) steps[q] = consumer[q] != before_q[q];
  end

  always_ff @(posedge clk_i) begin
    started_q <= 1'b1;
    reset_q <= rst_i;
    before_q <= consumer;
    taken_q <= write.valid && write_ready_i;
    taken_queue_q <= write.queue_of;
    // A pass is under way.
    working_q <= !rst_i && (working_q || go_i) && !done;
    for (int unsigned q = 0; q < QUEUES; q++) producer_q[q] <= host_i[q].tx_producer;

    assume (rst_i || started_q);
    assume (!go_i || !working_q);
    for (int unsigned q = 0; q < QUEUES; q++) begin
      // The host adds entries and takes none back (checked where it writes the register).
      if (started_q && !reset_q) assume (host_i[q].tx_producer == producer_q[q] || host_i[q].tx_producer == producer_q[q] + 32'd1);
      // A few entries each, so that a proof is found; what is asserted does not depend on how many.
      assume (host_i[q].tx_producer < 32'd4);
      if (rst_i) assume (host_i[q].tx_producer == '0);
    end

    if (started_q && !rst_i && !reset_q) begin
      for (int unsigned q = 0; q < QUEUES; q++) begin
        // One entry at a time, of one queue, and the host was told of it.
        if (steps[q]) assert (consumer[q] == before_q[q] + 32'd1 && taken_q && 32'(taken_queue_q) == q);
      end
      if (taken_q) assert (steps != '0);
      // Never beyond what the host wrote.
      if (write.valid) begin
        assert (write.kind == WRITE_TX_CONSUMER && 32'(write.queue_of) < QUEUES);
        assert (consumer[write.queue_of[QUEUES_LOG2-1:0]] != host_i[write.queue_of[QUEUES_LOG2-1:0]].tx_producer);
        assert (write.body[31:0] == consumer[write.queue_of[QUEUES_LOG2-1:0]] + 32'd1);
      end
      // Nothing is done between passes.
      if (!working_q) begin
        assert (!read.valid && !table_of.valid && !verdict.valid && !life.valid && !identity.valid);
        assert (!write.valid && !egress.valid && !answer && !hash_valid && !done);
      end
      // One request at a time.
      assert (32'(table_of.valid) + 32'(verdict.valid) + 32'(life.valid) + 32'(read.valid) + 32'(write.valid) +
              32'(egress.valid) + 32'(answer) + 32'(hash_valid) + 32'(identity.valid) <= 1);
    end
  end

endmodule

`default_nettype wire
