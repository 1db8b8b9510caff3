// Many short lives at once, each ended in a way of its own: what the other tests look at one by
// one, all over each other, so that slots, descriptors and pipes change hands all the time.
import Foundation
import Testing

@Suite(.serialized)
struct ChurnTests {
  @Test(arguments: Transfer.allCases, [1, 2] as [UInt64])
  func everyLifeEndsAsItsEndsWantedIt(transfer: Transfer, seed: UInt64) throws {
    let target = try Target()
    let (lanes, livesPerLane) = (8, 25)
    try withSidecar(to: target, transfer: transfer, ["WORKERS": "3"]) { sidecar in
      let serving = target.serve(lanes * livesPerLane, with: serveOneLife)
      try atTheSameTime(
        (0..<lanes).map { lane in
          {
            for number in 0..<livesPerLane {
              let life = Life(number: seed << 32 | UInt64(lane << 16 | number))
              try live(life, try sidecar.connect())
            }
          }
        })
      try serving.result()
      try eventually("every connection has ended") {
        sidecar.count(of: "connection ended") == lanes * livesPerLane
      }
    }
  }

  private func live(_ life: Life, _ client: Peer) throws {
    try client.send(withUnsafeBytes(of: life.number) { Array($0) })
    try client.expect("!")
    try life.run(as: .client, client)
  }

  @Sendable private func serveOneLife(_ upstream: Peer) throws {
    let number = try upstream.receive(exactly: 8).withUnsafeBytes { $0.load(as: UInt64.self) }
    try upstream.send("!")
    try Life(number: number).run(as: .target, upstream)
  }
}

/// What two ends do to each other, known to both from its number alone.
private struct Life {
  let number: UInt64
  private let toTargetBytes: Int
  private let toClientBytes: Int
  /// The end that resets the connection after it has sent everything; nil for an orderly end.
  private let breaker: End?

  init(number: UInt64) {
    self.number = number
    var state = number &* 0x9e37_79b9_7f4a_7c15
    func choose(_ count: UInt64) -> Int {
      state = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
      state ^= state >> 27
      return Int(state % count)
    }
    // From single bytes over what fits a buffer to what is spliced.
    let sizes = [0, 1, 100, 32 * kibibyte, 100 * kibibyte, mebibyte]
    toTargetBytes = sizes[choose(6)] + choose(50)
    toClientBytes = sizes[choose(6)] + choose(50)
    breaker = [nil, nil, .client, .target][choose(4)]
  }

  func run(as end: End, _ peer: Peer) throws {
    let (mine, theirs) =
      end == .client ? (toTargetBytes, toClientBytes) : (toClientBytes, toTargetBytes)
    let sending = TestBytes(seed: number &* 2 + (end == .client ? 0 : 1))
    let receiving = TestBytes(seed: number &* 2 + (end == .client ? 1 : 0))
    if breaker == end {
      // What it is sent stays unread: the reset comes in the middle of that.
      try peer.send(sending, count: mine)
      try peer.reset()
    } else if breaker == nil {
      try atTheSameTime(
        { try peer.sendAll(sending, count: mine) },
        { try peer.expectAll(receiving, count: theirs) })
    } else {
      try beBroken(peer, sending, mine, receiving, theirs)
    }
  }

  /// A reset is told once, to the call that comes first: after a send was told, recv(2) says 0. A
  /// send into a stream that had ended in order says EPIPE instead.
  private func beBroken(
    _ peer: Peer, _ sending: TestBytes, _ mine: Int, _ receiving: TestBytes, _ theirs: Int
  ) throws {
    let sender = Background("sender") {
      do {
        try peer.send(sending, count: mine)
        return false
      } catch let failure as Failure {
        return failure.code == ECONNRESET
      }
    }
    let (received, ending) = try peer.receiveAll(of: receiving)
    let sendWasReset = try sender.result()
    if received > theirs || (ending != .reset && !sendWasReset) {
      throw Failure("life \(number): \(ending!) after \(received) of \(theirs) bytes")
    }
  }
}
