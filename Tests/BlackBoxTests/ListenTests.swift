// Where it listens: which addresses, which ports, how many forwards.
import Foundation
import Testing

@Suite(.serialized)
struct ListenTests {
  @Test(.enabled(if: Loopback.hasIPv6))
  func clientsOfBothFamiliesAreServed() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let line = try sidecar.waitForLine("listening")
      #expect(line["listen"] == "[::]:\(sidecar.port)")
      #expect(line["target"] == "127.0.0.1:\(target.port)")
      for (number, family) in [(1, Loopback.ipv4), (2, Loopback.ipv6)] {
        let client = try sidecar.connect(over: family)
        let upstream = try target.accept()
        try pingPong(client, upstream)
        let own = client.socket.localPort
        client.close()
        upstream.close()
        let line = try sidecar.waitForLine("connection ended") {
          $0["connection"] == String(number)
        }
        #expect(line["client"] == (family == .ipv4 ? "127.0.0.1:\(own)" : "[::1]:\(own)"))
      }
    }
  }

  @Test func aGivenAddressIsTheOnlyOne() throws {
    let target = try Target()
    try withSidecar(to: target, ["LISTEN_HOST": "127.0.0.1"]) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
      #expect(try sidecar.waitForLine("listening")["listen"] == "127.0.0.1:\(sidecar.port)")
      #expect(throws: Failure.self) { try sidecar.connect(over: .otherIPv4) }
      #expect(throws: Failure.self) { try sidecar.connect(over: .ipv6) }
    }
  }

  @Test(.enabled(if: Loopback.hasIPv6), arguments: ["::1", "[::1]"])
  func anIPv6AddressIsTheOnlyOne(host: String) throws {
    let target = try Target()
    try withSidecar(to: target, ["LISTEN_HOST": host]) { sidecar in
      let client = try sidecar.connect(over: .ipv6)
      try pingPong(client, target.accept())
      #expect(try sidecar.waitForLine("listening")["listen"] == "[::1]:\(sidecar.port)")
      #expect(throws: Failure.self) { try sidecar.connect(over: .ipv4) }
    }
  }

  @Test func severalForwardsRunInOneProcess() throws {
    let (writer, reader) = (try Target(), try Target())
    let (first, second) = (try ReservedPort(), try ReservedPort())
    let forwards =
      "\(first.number)=127.0.0.1:\(writer.port),\(second.number)=localhost:\(reader.port)"
    try withSidecar(["FORWARDS": forwards]) { sidecar in
      let toWriter = try Peer(connectingTo: first.number)
      let toReader = try Peer(connectingTo: second.number)
      try pingPong(toReader, reader.accept())
      try pingPong(toWriter, writer.accept())
      let listening = sidecar.log.filter { $0.message == "listening" }
      #expect(
        listening.map { $0["target"] } == [
          "127.0.0.1:\(writer.port)", "localhost:\(reader.port)",
        ])
    }
  }

  /// Clients may come back to a port right after a stop: TIME-WAIT does not block a restart.
  @Test func aRestartOnTheSamePortSucceeds() throws {
    let target = try Target()
    let port = try ReservedPort()
    for _ in 0..<2 {
      try withSidecar(to: target, ["LISTEN_PORT": String(port.number)]) { sidecar in
        let (client, upstream) = try sidecar.connect(to: target)
        try pingPong(client, upstream)
        upstream.close()
        try client.expect(.closed)
      }
    }
  }
}
