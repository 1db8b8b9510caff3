// Names over thousands of schedules of lossy, slow, broken and lying name servers, each of which a
// seed makes again.
import Testing

@Suite struct NameSimulationTests {
  private static let seedsPerRun: UInt64 = 200

  @Test(arguments: stride(from: UInt64(0), to: 2_000, by: 200).map { $0 })
  func whatIsPublishedIsTrueAndComesInTimeWhateverTheServersDo(first: UInt64) {
    for seed in first..<first + Self.seedsPerRun {
      var simulation = NameSimulation(seed: seed)
      do { try simulation.run() } catch { Issue.record("seed \(seed): \(error)") }
    }
  }

  /// The negative control: each mistake is found by one of the first 500 seeds.
  @Test(arguments: NameMutant.allCases)
  func aMistakeIsFoundOut(mutant: NameMutant) {
    let found = (UInt64(0)..<500).first { seed in
      var simulation = NameSimulation(seed: seed, mutant: mutant)
      do { try simulation.run() } catch { return true }
      return false
    }
    #expect(found != nil)
  }
}
