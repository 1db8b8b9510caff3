// What it costs to have it: memory at rest, memory per idle connection, time to start.
import Foundation
import Testing

@Suite(.serialized)
struct FootprintTests {
  @Test func itStartsWithinTenMilliseconds() throws {
    // The fastest of a few: a busy machine may delay any one of them.
    let times = try (0..<10).map { _ in
      let port = try ReservedPort()
      let settings = [
        "TARGET_HOST": "127.0.0.1", "TARGET_PORT": "5432", "LISTEN_PORT": String(port.number),
      ]
      let start = ContinuousClock.now
      let sidecar = try Sidecar(settings)
      defer { sidecar.process.kill() }
      try sidecar.waitUntilStarted()
      return ContinuousClock.now - start
    }
    #expect(times.min()! < .milliseconds(10))
  }

  @Test func memoryIsSmallAtRestAndPerIdleConnection() throws {
    try raiseDescriptorLimit()
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
      let atRest = try sidecar.process.proportionalSetSize()
      #expect(atRest <= 700, "KiB at rest")
      let held = try (0..<2000).map { _ in try sidecar.connect(to: target) }
      try pingPong(held[1999].client, held[1999].upstream)
      let withConnections = try sidecar.process.proportionalSetSize()
      #expect(Double(withConnections - atRest) / 2000 <= 0.3, "KiB per idle connection")
    }
  }
}
