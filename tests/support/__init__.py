"""What tests share: reviews, bundles, runs and servers. Fixtures are in the conftests."""
