// Descriptors of each queue_of: how many are unread, and which history they hold in place.
//
// Function: the least history position that an unread descriptor refers to (hw-sim/src/queue.rs, `Pins`): a queue of
// minima, positions ascending; what a later, smaller one covers is left out. Latency: 2 cycles and 2 for each entry that
// leaves. Throughput: one request at a time; each entry enters and leaves once. Back-pressure: the answer.
`default_nettype none

module weir_pins
  import weir_contract_pkg::*;
  import weir_core_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    parameter  int unsigned DEPTH_LOG2 = 12,  // descriptors of a ring, at most
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                     clk_i,
    input  wire logic                     rst_i,
    input  wire logic [QUEUES-1:0][31:0]  entries_i,   // of the rings
    input  wire logic [QUEUES-1:0][31:0]  consumer_i,
    output logic                          ready_o,
    input  wire pin_request_t             request_i,   // only while ready_o
    output pin_answer_t                   answer_o,
    output logic [QUEUES-1:0][31:0]       producer_o,
    output logic [QUEUES-1:0][31:0]       free_o
);

  typedef struct packed {
    logic [31:0] number;
    logic [63:0] position;
  } pin_t;

  typedef enum logic [2:0] {IDLE, READ_BACK, BACK, READ_FRONT, FRONT} state_e;

  state_e state_q;
  pin_request_t request_q;
  logic [QUEUES-1:0][DEPTH_LOG2:0] head_q, tail_q;
  logic [QUEUES_LOG2-1:0] queue;
  logic [DEPTH_LOG2:0] head, tail, address;
  pin_t read, write;
  logic put, empty, read_over;

  assign queue = request_q.queue_of[QUEUES_LOG2-1:0];
  assign head = head_q[queue];
  assign tail = tail_q[queue];
  assign empty = head == tail;
  assign address = request_q.push ? tail - (DEPTH_LOG2 + 1)'(1) : head;
  assign write = '{number: producer_o[queue], position: request_q.oldest};
  // Smaller positions behind this one cover it.
  assign put = state_q == BACK && (empty || read.position < request_q.oldest);
  assign read_over = 32'(consumer_i[queue] - read.number) - 32'd1 < 32'h7fff_ffff;

  weir_ram_1r1w #(
      .ADDRESS_BITS(QUEUES_LOG2 + DEPTH_LOG2),
      .DATA_BITS   ($bits(pin_t))
  ) pins (
      .clk_i          (clk_i),
      .write_i        (put),
      .write_address_i({queue, tail[DEPTH_LOG2-1:0]}),
      .write_data_i   (write),
      .read_address_i ({queue, address[DEPTH_LOG2-1:0]}),
      .read_data_o    (read)
  );

  assign ready_o = state_q == IDLE;

  always_comb begin
    answer_o = '0;
    unique case (state_q)
      BACK: begin
        answer_o.valid = put;
        answer_o.push = 1'b1;
      end
      FRONT: begin
        answer_o.valid  = empty || !read_over;
        answer_o.pinned = !empty;
        answer_o.lowest = read.position;
      end
      default: ;
    endcase
    for (int unsigned q = 0; q < QUEUES; q++) begin
      free_o[q] = entries_i[q] - (producer_o[q] - consumer_i[q]);
    end
  end

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      IDLE:
      if (request_i.valid) begin
        request_q <= request_i;
        if (request_i.push) begin
          state_q <= request_i.oldest == POSITION_NONE ? IDLE : READ_BACK;
          if (request_i.oldest == POSITION_NONE) begin
            producer_o[request_i.queue_of[QUEUES_LOG2-1:0]] <=
                producer_o[request_i.queue_of[QUEUES_LOG2-1:0]] + 32'd1;
          end
        end else begin
          state_q <= READ_FRONT;
        end
      end
      READ_BACK: state_q <= BACK;
      BACK:
      if (put) begin
        tail_q[queue] <= tail + (DEPTH_LOG2 + 1)'(1);
        producer_o[queue] <= producer_o[queue] + 32'd1;
        state_q <= IDLE;
      end else begin
        tail_q[queue] <= tail - (DEPTH_LOG2 + 1)'(1);
        state_q <= READ_BACK;
      end
      READ_FRONT: state_q <= FRONT;
      default:
      if (answer_o.valid) begin
        state_q <= IDLE;
      end else begin
        head_q[queue] <= head + (DEPTH_LOG2 + 1)'(1);
        state_q <= READ_FRONT;
      end
    endcase
    if (rst_i) begin
      state_q <= IDLE;
      head_q <= '0;
      tail_q <= '0;
      producer_o <= '0;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      assert (!(request_i.valid && state_q != IDLE));
      assert (!(put && DEPTH_LOG2'(tail - head) == '1));
    end
  end
`endif

endmodule

`default_nettype wire
