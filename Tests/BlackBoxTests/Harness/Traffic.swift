// What tests have two ends say to each other.
import Foundation

extension Peer {
  /// Sends `count` bytes of `stream` and the end of the stream.
  func sendAll(_ stream: TestBytes, from start: Int = 0, count: Int) throws {
    try send(stream, from: start, count: count)
    try finishSending()
  }

  /// Receives `count` bytes of `stream` and then the end of the stream.
  func expectAll(
    _ stream: TestBytes, from start: Int = 0, count: Int, then ending: Ending = .closed
  ) throws {
    try expect(stream, from: start, count: count)
    try expect(ending)
  }
}

/// A message goes out and comes back, again and again, from one thread.
func pingPong(_ client: Peer, _ upstream: Peer, times: Int = 1) throws {
  for number in 0..<times {
    try client.send("ping \(number);")
    try upstream.expect("ping \(number);")
    try upstream.send("pong \(number);")
    try client.expect("pong \(number);")
  }
}

/// A stream that flows as fast as it can until it is stopped, every byte checked.
final class Flood: Sendable {
  private let total = Shared(0)
  private let isStopped = Shared(false)
  private let sending: Background<Int>
  private let receiving: Background<Int>

  init(of stream: TestBytes, from sender: Peer, to receiver: Peer) {
    sending = Background("flood's sender") { [isStopped] in
      var sent = 0
      while !isStopped.value {
        try sender.send(stream, from: sent, count: 64 * kibibyte)
        sent += 64 * kibibyte
      }
      try sender.finishSending()
      return sent
    }
    receiving = Background("flood's receiver") { [total] in
      let (count, ending) = try receiver.receiveAll(of: stream) { now in total.update { $0 = now } }
      if ending != .closed { throw Failure("the flood ended with \(String(describing: ending))") }
      return count
    }
  }

  /// How many bytes have arrived so far.
  var moved: Int { total.value }

  func stop() throws {
    isStopped.update { $0 = true }
    let (sent, received) = (try sending.result(), try receiving.result())
    if sent != received { throw Failure("\(received) of \(sent) bytes arrived") }
  }
}

/// Lets time pass where time itself is what is tested: a reader's pause, a span of idling.
func pause(_ span: Duration) {
  Thread.sleep(forTimeInterval: span / .seconds(1))
}
