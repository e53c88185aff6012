// Diverted frames that have no verdict yet.
//
// Function: numbers come in ascending order; a verdict is looked for by halves, and counts once. Latency: 2 cycles for each
// bit of the number of frames, 2 for each that leaves. Throughput: one request at a time. Back-pressure: full_o.
`default_nettype none

module weir_in_flight #(
    parameter int unsigned DEPTH_LOG2 = 12,  // frames without a verdict, at most
    parameter int unsigned NUMBER_BITS = 64  // bits of a frame number
) (
    input  wire logic        clk_i,
    input  wire logic        rst_i,
    input  wire logic        push_i,        // a frame was diverted; only while !full_o and nothing is asked
    input  wire logic [NUMBER_BITS-1:0] push_number_i,
    output logic             full_o,
    output logic             near_o,        // full with five more, or with less
    input  wire logic        answer_i,      // for one cycle: a verdict for this frame
    input  wire logic [NUMBER_BITS-1:0] answer_number_i,
    output logic             valid_o,       // for one cycle
    output logic             open_o         // it is the first one
);

  typedef struct packed {
    logic        answered;
    logic [NUMBER_BITS-1:0] number;
  } flight_t;

  typedef enum logic [2:0] {IDLE, READ, COMPARE, READ_FRONT, FRONT, DONE} state_e;

  state_e state_q;
  logic [DEPTH_LOG2:0] head_q, tail_q, low_q, high_q, middle, address;
  logic [NUMBER_BITS-1:0] number_q;
  flight_t read, write;
  logic mark, equal;

  assign middle = low_q + (DEPTH_LOG2 + 1)'((high_q - low_q) >> 1);
  assign address = state_q == READ_FRONT ? head_q : middle;
  assign equal = read.number == number_q;
  assign mark = state_q == COMPARE && equal && !read.answered;
  assign write = mark ? '{answered: 1'b1, number: number_q} : '{answered: 1'b0, number: push_number_i};
  assign full_o = DEPTH_LOG2'(tail_q - head_q) == '1;
  assign near_o = 32'((DEPTH_LOG2 + 1)'(tail_q - head_q)) + 32'd6 >= (1 << DEPTH_LOG2);
  assign valid_o = state_q == DONE;

  weir_ram_1r1w #(
      .ADDRESS_BITS(DEPTH_LOG2),
      .DATA_BITS   ($bits(flight_t))
  ) flights (
      .clk_i          (clk_i),
      .write_i        (push_i || mark),
      .write_address_i(mark ? middle[DEPTH_LOG2-1:0] : tail_q[DEPTH_LOG2-1:0]),
      .write_data_i   (write),
      .read_address_i (address[DEPTH_LOG2-1:0]),
      .read_data_o    (read)
  );

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      IDLE:
      if (answer_i) begin
        number_q <= answer_number_i;
        low_q <= head_q;
        high_q <= tail_q;
        open_o <= 1'b0;
        state_q <= head_q == tail_q ? DONE : READ;
      end
      READ: state_q <= COMPARE;
      COMPARE: begin
        if (equal) begin
          open_o  <= !read.answered;
          state_q <= read.answered ? DONE : READ_FRONT;
        end else if (read.number < number_q) begin
          low_q   <= middle + (DEPTH_LOG2 + 1)'(1);
          state_q <= middle + (DEPTH_LOG2 + 1)'(1) == high_q ? DONE : READ;
        end else begin
          high_q  <= middle;
          state_q <= middle == low_q ? DONE : READ;
        end
      end
      // Answered ones leave when they are the oldest.
      READ_FRONT: state_q <= head_q == tail_q ? DONE : FRONT;
      FRONT: begin
        if (read.answered) head_q <= head_q + (DEPTH_LOG2 + 1)'(1);
        state_q <= read.answered ? READ_FRONT : DONE;
      end
      default: state_q <= IDLE;
    endcase
    if (push_i) tail_q <= tail_q + (DEPTH_LOG2 + 1)'(1);
    if (rst_i) begin
      state_q <= IDLE;
      head_q <= '0;
      tail_q <= '0;
    end
  end

endmodule

`default_nettype wire
