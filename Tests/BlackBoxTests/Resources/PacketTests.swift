// How few packets a short connection takes: what can travel together does. The daemon stands still
// meanwhile, so that everything is there when it looks.
import Foundation
import Testing

@Suite(.serialized)
struct PacketTests {
  @Test func theHandshakeEndsWithTheFirstBytes() throws {
    let target = try Target()
    let plain = try segments(in: target, from: Peer(connectingTo: target.port))
    try withSidecar(to: target) { sidecar in
      try sidecar.process.suspend()
      let client = try sidecar.connect()
      let forwarded = try segments(in: target, from: client) { sidecar.process.resume() }
      #expect(forwarded == plain - 1)
    }
  }

  /// How many of them took a query to the target.
  private func segments(
    in target: Target, from client: Peer, letting go: () -> Void = {}
  ) throws -> Int {
    try client.send("query")
    go()
    let upstream = try target.accept()
    try upstream.expect("query")
    return try upstream.socket.segmentsReceived
  }

  /// Else the kernel would wait 200 ms for bytes to go with. The fastest of a few is judged: a busy
  /// machine may delay any one of them.
  @Test func aTargetThatGreetsFirstIsToldOfTheConnectionAtOnce() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let times = try (0..<5).map { _ in
        try timing {
          let client = try sidecar.connect()
          let upstream = try target.accept()
          try upstream.send("greeting")
          try client.expect("greeting")
        }
      }
      #expect(times.min()! < .milliseconds(150))
    }
  }

  @Test func theEndTravelsWithTheLastBytes() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
      try client.waitUntilAcknowledged()
      let before = try client.socket.segmentsReceived
      try sidecar.process.suspend()
      try upstream.send("last words")
      upstream.close()
      sidecar.process.resume()
      try client.expect("last words")
      try client.expect(.closed)
      #expect(try client.socket.segmentsReceived == before + 1)
    }
  }
}

extension TCPSocket {
  /// TCP_INFO's tcpi_segs_in (linux/tcp.h): of whatever kind.
  fileprivate var segmentsReceived: Int {
    get throws {
      var info = [UInt32](repeating: 0, count: 36)
      var length = socklen_t(info.count * 4)
      try checked("TCP_INFO", getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &length))
      return Int(info[35])
    }
  }
}
